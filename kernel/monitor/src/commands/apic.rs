//! `apic` and `lapic`: the configuration of the interrupt controllers.

use alloc::string::String;
use core::fmt::Write;

use tocsin::trap::spurious::STRAYS;
use tocsin_logic::apic::register::Part;
use tocsin_logic::apic::{Lvt, Register};

use crate::command::{Arguments, CommandError};
use tocsin::apic::{io, local, pic, service};
use tocsin::cpu::{self, handlers};
use tocsin::ipi::jobs::{self, Job};
use tocsin::{Machine, println};

pub(super) fn apic(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    arguments.end()?;
    println!(
        "Mode {}: {}",
        machine.apic_mode.mode, machine.apic_mode.reason
    );
    show_local_apic(0);
    for io_apic in io::all() {
        let masked = io_apic.entries().filter(|entry| entry.masked).count();
        println!(
            "I/O APIC ID {:#04x} (register {:#04x}) at {:#x}: version {:#04x}, GSI {} to {}, {masked} of {} masked",
            io_apic.id,
            io_apic.register_id,
            io_apic.address,
            io_apic.version.number(),
            io_apic.gsi_base,
            io_apic.last_gsi(),
            io_apic.pins
        );
    }
    let errors = service::error_interrupts();
    let cpus = handlers::all_cpus();
    let spurious = cpus.iter().map(|cpu| STRAYS.of(*cpu).counts().spurious);
    let spurious = spurious.sum::<u64>();
    let (first, second) = pic::ghosts();
    println!("Spurious interrupts {spurious}, errors {errors}, 8259 ghosts {first} and {second}");
    Ok(())
}

pub(super) fn lapic(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let cpu = arguments.number(u64::from(u32::MAX))?;
    arguments.end()?;
    // The cast is lossless: `number` limits the value to 32 bits.
    let cpu = cpu.map_or_else(|| cpu::current().id(), |cpu| cpu as u32);
    let job = Job {
        function: show_local_apic,
        argument: 0,
    };
    jobs::run_on(cpu, job).map_err(CommandError::Cpu)
}

/// The name of a 256-bit register, and the function that returns its parts.
type BitSet = (&'static str, fn(Part) -> Register);

/// Prints the local APIC of the CPU that runs this function.
fn show_local_apic(_: u64) {
    let apic = local();
    let cpu = cpu::current().id();
    println!(
        "Local APIC of CPU {cpu}: ID {}, {}",
        apic.id(),
        apic.version()
    );
    // The order in which the version register counts the entries.
    let entries = [
        Register::LvtTimer,
        Register::LvtLint0,
        Register::LvtLint1,
        Register::LvtError,
        Register::LvtPerformance,
        Register::LvtThermal,
        Register::LvtCmci,
    ];
    for register in entries
        .into_iter()
        .take(usize::from(apic.version().lvt_entries()))
    {
        let value = apic.read(register);
        match Lvt::decode(value) {
            Ok(entry) => println!("  {:<16}  {value:#010x}  {entry}", register.name()),
            Err(error) => println!("  {:<16}  {value:#010x}  {error}", register.name()),
        }
    }
    for register in [Register::Svr, Register::Tpr, Register::Ppr] {
        println!("  {:<16}  {:#010x}", register.name(), apic.read(register));
    }
    let sets: [BitSet; 3] = [
        ("IRR", Register::Irr),
        ("ISR", Register::Isr),
        ("TMR", Register::Tmr),
    ];
    for (name, register) in sets {
        println!(
            "  {name:<16}  {}",
            vectors(|part| apic.read(register(part)))
        );
    }
}

/// Lists the vectors whose bits are set in a register of 256 bits.
fn vectors(read: impl Fn(Part) -> u32) -> String {
    let mut list = String::new();
    for part in Part::ALL {
        let bits = read(part);
        for bit in (0..32).filter(|bit| bits & 1 << bit != 0) {
            let vector = u32::from(part.get()) * 32 + bit;
            // Cannot fail: writing to a string never fails.
            let _ = write!(
                list,
                "{}{vector:#04x}",
                if list.is_empty() { "" } else { " " }
            );
        }
    }
    if list.is_empty() { "none".into() } else { list }
}
