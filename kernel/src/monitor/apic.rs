//! `apic`, `lapic` and `timer`: the interrupt controllers as they are set up.

use alloc::string::String;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::apic::register::Part;
use tocsin_logic::apic::{Lvt, Register};
use tocsin_logic::units::Nanoseconds;

use super::{Arguments, CommandError};
use crate::apic::{io, local, pic, service, timer};
use crate::cpu::interrupts;
use crate::smp::jobs::{self, Job};
use crate::{Machine, cpu, println, time};

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
            io_apic.version,
            io_apic.gsi_base,
            io_apic.gsi_base + io_apic.pins - 1,
            io_apic.pins
        );
    }
    let errors = service::error_interrupts();
    let cpus = interrupts::all_cpus();
    let spurious = cpus.iter().map(|cpu| cpu.strays.counts().spurious);
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
    // `number` keeps it within 32 bits.
    let cpu = cpu.map_or_else(|| cpu::current().id(), |cpu| cpu as u32);
    let job = Job {
        function: show_local_apic,
        argument: 0,
    };
    jobs::run_on(cpu, job).map_err(CommandError::Cpu)
}

/// A register of 256 bits, by its name.
type BitSet = (&'static str, fn(Part) -> Register);

/// Shows the local APIC of the CPU that runs this.
fn show_local_apic(_: u64) {
    let apic = local();
    let cpu = cpu::current().id();
    println!(
        "Local APIC of CPU {cpu}: ID {}, {}",
        apic.id(),
        apic.version()
    );
    // In the order of the version register's count.
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

/// The vectors whose bits are set in a register of 256 bits.
fn vectors(read: impl Fn(Part) -> u32) -> String {
    let mut list = String::new();
    for part in Part::ALL {
        let bits = read(part);
        for bit in (0..32).filter(|bit| bits & 1 << bit != 0) {
            let vector = u32::from(part.get()) * 32 + bit;
            // Writing to a string never fails.
            let _ = write!(
                list,
                "{}{vector:#04x}",
                if list.is_empty() { "" } else { " " }
            );
        }
    }
    if list.is_empty() { "none".into() } else { list }
}

/// Interrupts of the timer that the command has seen.
static TICKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn tick(_: usize, _: u8) {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

/// Length of the one-shot interval and of the periodic one, in nanoseconds.
const ONCE: u64 = 2_000_000;
const PERIOD: u64 = 1_000_000;

/// Periodic interrupts that are waited for.
const PERIODS: u64 = 10;

/// How long to wait for interrupts before they count as missing, in nanoseconds.
const PATIENCE: u64 = 2_000_000_000;

pub(super) fn timer(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    arguments.end()?;
    let frequency = time::frequency();
    println!("TSC: {} Hz, {}", frequency.hertz, frequency.source);
    let Some(info) = timer::info() else {
        println!("The local APIC's timer has not been measured.");
        return Ok(());
    };
    match info.hertz {
        Some(hertz) => println!(
            "Local APIC timer: {hertz} Hz, measured against the {}",
            info.reference.clock
        ),
        None => println!("Local APIC timer: its rate could not be measured"),
    }
    println!(
        "TSC-deadline mode: {}",
        if info.has_deadline { "yes" } else { "no" }
    );
    timer::set_handler(tick);
    show("one-shot", ONCE, 1, timer::start_once(ONCE));
    show("periodic", PERIOD, PERIODS, timer::start_periodic(PERIOD));
    timer::stop();
    Ok(())
}

/// Waits for `count` interrupts, one each `interval` nanoseconds, and prints how long it took.
fn show(mode: &str, interval: u64, count: u64, started: Result<(), timer::TimerError>) {
    if let Err(error) = started {
        println!("  {mode}: {error}");
        return;
    }
    let begin = time::nanoseconds();
    let first = TICKS.load(Ordering::Relaxed);
    let seen = || TICKS.load(Ordering::Relaxed) - first;
    while seen() < count && !time::has_passed(begin, PATIENCE) {
        core::hint::spin_loop();
    }
    let taken = Nanoseconds(time::nanoseconds() - begin);
    let wanted = Nanoseconds(interval * count);
    println!(
        "  {mode}: {} of {count} interrupts in {taken}, {wanted} wanted",
        seen().min(count)
    );
}
