//! `prio watch` and `prio hold`: the longest times for which interrupts were masked, and
//! deliberately long sections.

use alloc::format;
use alloc::string::ToString;

use tocsin::priority::latency::SECTIONS;
use tocsin_logic::units::Nanoseconds;
use tocsin_logic::vector::PriorityClass;

use crate::command::{Arguments, CommandError};
use tocsin::cpu::handlers;
use tocsin::ipi::jobs;
use tocsin::priority::{self, CeilingMutex, latency};
use tocsin::sync::{self, IrqMutex};
use tocsin::{println, time};

/// The duration of a deliberate section, in nanoseconds. It is longer than any other section, even
/// where a virtual CPU is descheduled by the host.
const HOLD: u64 = 400_000_000;

/// The class of the deliberate sections: calls are still delivered, device interrupts are not.
const CLASS: PriorityClass = PriorityClass::new(12).expect("a class is 0 to 15");

pub(super) fn watch(arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let word = arguments.required()?;
    arguments.end()?;
    match word {
        "on" => latency::watch(true),
        "off" => latency::watch(false),
        _ => {
            return Err(CommandError::BadArgument {
                given: word.to_string(),
                expected: "`on` or `off`".into(),
            });
        }
    }
    Ok(())
}

pub(super) fn hold(arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let word = arguments.required()?;
    arguments.end()?;
    let section: fn(u64) = match word {
        "lock" => |_| hold_lock(&IrqMutex::new(())),
        "interrupts" => |_| hold_interrupts(),
        "priority" => |_| hold_priority(),
        "ceiling" => |_| hold_ceiling(&CeilingMutex::new(CLASS, ())),
        _ => {
            return Err(CommandError::BadArgument {
                given: word.to_string(),
                expected: "`lock`, `interrupts`, `priority` or `ceiling`".into(),
            });
        }
    };
    jobs::run_on_all(section).map_err(CommandError::Cpu)
}

#[inline(never)]
fn hold_lock(lock: &IrqMutex<()>) {
    let _guard = lock.lock();
    time::spin_for(HOLD);
}

#[inline(never)]
fn hold_interrupts() {
    sync::without_interrupts(|| time::spin_for(HOLD));
}

#[inline(never)]
fn hold_priority() {
    let raised = priority::raise(CLASS);
    time::spin_for(HOLD);
    drop(raised);
    // Prevents a tail call to the drop, so that the report names this function.
    core::hint::black_box(());
}

#[inline(never)]
fn hold_ceiling(lock: &CeilingMutex<()>) {
    let guard = lock.lock();
    time::spin_for(HOLD);
    drop(guard);
    // As in `hold_priority`.
    core::hint::black_box(());
}

/// Prints the longest sections of all CPUs, if there are any.
pub(super) fn show() {
    let cpus = handlers::all_cpus();
    let none = cpus.iter().all(|cpu| {
        let stretches = SECTIONS.of(*cpu);
        stretches.off.longest().is_none() && stretches.raised.longest().is_none()
    });
    if none {
        return;
    }
    println!("Longest stretches since `prio watch on`:");
    println!("  CPU  held back          for  ended at");
    for cpu in cpus {
        for (what, stretch) in [
            ("all", &SECTIONS.of(cpu).off),
            ("by CR8", &SECTIONS.of(cpu).raised),
        ] {
            if let Some((duration, place)) = stretch.longest() {
                let duration = format!("{}", Nanoseconds(duration));
                println!("  {:>3}  {what:<9}  {duration:>10}  {place}", cpu.id());
            }
        }
    }
}
