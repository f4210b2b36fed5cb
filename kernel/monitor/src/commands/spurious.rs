//! `spurious`: spurious and unhandled interrupt counts, and commands that cause such interrupts.
//!
//! `fault 0x31` enters a gate by INT n, without the local APIC; `spurious ipi 0x31` sends a real
//! interrupt.

use alloc::string::ToString;
use core::fmt;

use serde::Serialize;
use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::status::Esr;
use tocsin_logic::script;

use super::members::Counters;
use crate::command::{Arguments, CommandError};
use crate::record::Output;
use tocsin::apic::{local, pic, vectors};
use tocsin::cpu::handlers::{self, INTERRUPTS};
use tocsin::cpu::{self, PerCpu};
use tocsin::ipi::Offline;
use tocsin::ipi::jobs::{self, JobError};
use tocsin::trap::spurious::SPURIOUS_COUNTERS;
use tocsin::{Machine, smp, time};

/// The timeout after which an interrupt counts as missing, in nanoseconds.
const TIMEOUT: u64 = 2_000_000_000;

pub(super) fn spurious(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    match arguments.next_word() {
        None => {
            show(output);
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
            let target = target.map_or_else(|| cpu::current().id(), |cpu| cpu as u32);
            send(vector, target, output)
        }
        Some("register") => {
            arguments.end()?;
            read_reserved_register(output)
        }
        Some(word) => Err(CommandError::BadArgument {
            given: word.to_string(),
            expected: "`ipi`, `register` or nothing".into(),
        }),
    }
}

/// The spurious and unhandled interrupts of a CPU.
#[derive(Serialize)]
struct Counts {
    cpu: u32,
    spurious: u64,
    unhandled: u64,
    /// Gates entered by something other than the interrupt in service, without an EOI.
    eoi_mismatch: u64,
    apic_errors: Counters,
}

impl Counts {
    fn of(cpu: PerCpu) -> Self {
        let counts = SPURIOUS_COUNTERS.of(cpu).counts();
        let errors = Esr::NAMES
            .iter()
            .map(|&(bit, name)| (name, counts.errors[bit as usize]));
        Self {
            cpu: cpu.id(),
            spurious: counts.spurious,
            unhandled: counts.unhandled,
            eoi_mismatch: counts.eoi_mismatch,
            apic_errors: Counters(errors.collect()),
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            spurious,
            unhandled,
            eoi_mismatch,
            apic_errors,
        } = self;
        write!(
            f,
            "  {cpu:>3}  {spurious:>8}  {unhandled:>9}  {eoi_mismatch:>12} "
        )?;
        let mut errors = apic_errors.0.iter().filter(|(_, count)| *count > 0);
        let Some((name, count)) = errors.next() else {
            return f.write_str(" none");
        };
        write!(f, " {name}: {count}")?;
        errors.try_for_each(|(name, count)| write!(f, ", {name}: {count}"))
    }
}

/// The spurious IRQs of the two 8259s.
#[derive(Serialize)]
struct PicCounts {
    first: u64,
    second: u64,
}

impl fmt::Display for PicCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, second } = self;
        write!(
            f,
            "Spurious 8259 IRQs: {first} of the first, {second} of the second"
        )
    }
}

fn show(output: Output) {
    output.heading("  CPU  spurious  unhandled  EOIs omitted  APIC errors");
    for cpu in handlers::all_cpus() {
        output.print("spurious", &Counts::of(cpu));
    }
    let (first, second) = pic::spurious_irqs();
    output.print("spurious_8259", &PicCounts { first, second });
}

/// A vector that was sent, and its delivery.
#[derive(Serialize)]
struct Delivery {
    cpu: u32,
    vector: u8,
    count: u64,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cpu, vector, count } = self;
        write!(
            f,
            "Vector {vector:#04x}: delivered to CPU {cpu} {count} times"
        )
    }
}

/// Sends `vector` to CPU number `target`, and waits until it has been delivered and handled.
fn send(vector: u8, target: u32, output: Output) -> Result<(), CommandError> {
    let target = smp::find(target).ok_or(CommandError::Cpu(JobError::Offline(Offline(target))))?;
    let count = || INTERRUPTS.of(target.cpu).count(vector);
    let before = count();
    let command = Icr::fixed(vector, Destination::Physical(target.apic_id));
    // SAFETY: The command rejects the vectors of exceptions, and every other vector is handled,
    // counted or ended.
    unsafe { local().send(command) }.expect("the ID of a CPU that is online fits the mode");
    time::wait_until(TIMEOUT, || count() > before);
    // The interrupt is counted before it is handled; the CPU's thread runs after both.
    jobs::run_on(target.cpu.id(), jobs::NO_OP).map_err(CommandError::Cpu)?;
    let delivery = Delivery {
        cpu: target.cpu.id(),
        vector,
        count: count() - before,
    };
    output.print("delivery", &delivery);
    Ok(())
}

/// The effect of a read of a reserved register.
#[derive(Serialize)]
struct ReservedRead {
    effect: Effect,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Effect {
    /// In x2APIC mode, the read would raise #GP, and is not attempted.
    GeneralProtection,
    /// The local APIC sent an error interrupt.
    Interrupt,
    /// The local APIC only recorded the error.
    Recorded,
}

impl fmt::Display for ReservedRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.effect {
            Effect::GeneralProtection => {
                "In x2APIC mode, the read would raise #GP; it is no error of the local APIC."
            }
            Effect::Interrupt => "The local APIC sent an error interrupt.",
            Effect::Recorded => {
                "The local APIC sent no error interrupt; the error vector is sent instead."
            }
        })
    }
}

/// Reads a reserved register of the local APIC, which is an error that it signals with an
/// interrupt. If the local APIC only records the error, the function sends the error vector
/// instead.
fn read_reserved_register(output: Output) -> Result<(), CommandError> {
    let own = cpu::current();
    let effect = if local().is_x2apic() {
        Effect::GeneralProtection
    } else {
        let count = || INTERRUPTS.of(own).count(vectors::ERROR.get());
        let before = count();
        local().read_reserved();
        if time::wait_until(TIMEOUT / 100, || count() > before) {
            Effect::Interrupt
        } else {
            Effect::Recorded
        }
    };
    output.print("reserved_read", &ReservedRead { effect });
    match effect {
        Effect::Recorded => send(vectors::ERROR.get(), own.id(), output),
        Effect::GeneralProtection | Effect::Interrupt => Ok(()),
    }
}
