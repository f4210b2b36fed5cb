//! `stray`: spurious and unhandled interrupt counts, and commands that cause such interrupts.
//!
//! `fault 0x31` enters a gate by INT n, without the local APIC; `stray ipi 0x31` sends a real
//! interrupt.

use alloc::string::ToString;

use tocsin::cpu::handlers::INTERRUPTS;
use tocsin::trap::spurious::STRAYS;
use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::status::Esr;
use tocsin_logic::script;

use crate::command::{Arguments, CommandError};
use tocsin::apic::{local, pic, vectors};
use tocsin::cpu::{self, handlers};
use tocsin::ipi::jobs::{self, JobError};
use tocsin::{Machine, println, smp, time};

/// The timeout after which an interrupt counts as missing, in nanoseconds.
const PATIENCE: u64 = 2_000_000_000;

pub(super) fn stray(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    match arguments.next_word() {
        None => {
            show();
            Ok(())
        }
        Some("ipi") => {
            let vector = arguments.required()?;
            let vector = script::parse_number(vector)
                .ok()
                .and_then(|number| u8::try_from(number).ok())
                .filter(|&vector| vector >= handlers::FIRST)
                .ok_or_else(|| CommandError::BadArgument {
                    given: vector.to_string(),
                    expected: "a vector from 32 to 255; those below are exceptions'".into(),
                })?;
            let target = arguments.number(u64::from(u32::MAX))?;
            arguments.end()?;
            // The cast is lossless: `number` limits the value to 32 bits.
            send(
                vector,
                target.map_or_else(|| cpu::current().id(), |cpu| cpu as u32),
            )
        }
        Some("register") => {
            arguments.end()?;
            read_reserved_register()
        }
        Some(word) => Err(CommandError::BadArgument {
            given: word.to_string(),
            expected: "`ipi`, `register` or nothing".into(),
        }),
    }
}

fn show() {
    println!("  CPU  spurious  no handler  EOI left out  APIC errors");
    for cpu in handlers::all_cpus() {
        let counts = STRAYS.of(cpu).counts();
        tocsin::print!(
            "  {:>3}  {:>8}  {:>10}  {:>12} ",
            cpu.id(),
            counts.spurious,
            counts.unhandled,
            counts.eoi_mismatch
        );
        if counts.errors.iter().all(|&count| count == 0) {
            tocsin::print!(" none");
        }
        for &(bit, name) in Esr::NAMES {
            match counts.errors[bit as usize] {
                0 => {}
                count => tocsin::print!(" {name}: {count}"),
            }
        }
        println!();
    }
    let (first, second) = pic::ghosts();
    println!("8259 ghosts: {first} of the first, {second} of the second");
}

/// Sends `vector` to CPU number `target`, and waits until it has been delivered and handled.
fn send(vector: u8, target: u32) -> Result<(), CommandError> {
    let target = smp::find(target).ok_or(CommandError::Cpu(JobError::Offline(target)))?;
    let count = || INTERRUPTS.of(target.cpu).count(vector);
    let before = count();
    let command = Icr::fixed(vector, Destination::Physical(target.apic_id));
    // SAFETY: The command rejects the vectors of exceptions, and every other vector is handled,
    // counted or ended.
    unsafe { local().send(command) }.expect("the ID of a CPU that is online fits the mode");
    time::wait_until(PATIENCE, || count() > before);
    // The interrupt is counted before it is handled; the CPU's thread runs after both.
    jobs::run_on(target.cpu.id(), jobs::NOTHING).map_err(CommandError::Cpu)?;
    println!(
        "Vector {vector:#04x} came to CPU {} {} times.",
        target.cpu.id(),
        count() - before
    );
    Ok(())
}

/// Reads a reserved register of the local APIC, which is an error that it signals with an
/// interrupt. If the local APIC only records the error, the function sends the error vector
/// instead.
fn read_reserved_register() -> Result<(), CommandError> {
    if local().is_x2apic() {
        println!("In x2APIC mode this would be #GP, and no error of the local APIC.");
        return Ok(());
    }
    let own = cpu::current();
    let count = || INTERRUPTS.of(own).count(vectors::ERROR.get());
    let before = count();
    local().read_reserved();
    if time::wait_until(PATIENCE / 100, || count() > before) {
        println!("The local APIC interrupted for it.");
        return Ok(());
    }
    println!("The local APIC did not interrupt for it; the error vector is sent instead.");
    send(vectors::ERROR.get(), own.id())
}
