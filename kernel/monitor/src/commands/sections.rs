//! `prio watch` and `prio hold`: the longest times for which interrupts were masked, and
//! deliberately long sections.

use alloc::format;
use alloc::string::ToString;
use core::fmt;

use serde::Serialize;
use tocsin_logic::units::Nanoseconds;
use tocsin_logic::vector::PriorityClass;

use super::members::CodeAddress;
use crate::command::{Arguments, CommandError};
use crate::record::Output;
use tocsin::cpu::handlers;
use tocsin::ipi::jobs;
use tocsin::priority::latency::{self, SECTIONS};
use tocsin::priority::{self, CeilingMutex};
use tocsin::sync::{self, IrqMutex};
use tocsin::time;

/// The duration of a deliberate section, in nanoseconds. It is longer than any other section, even
/// where a virtual CPU is descheduled by the host.
const HOLD: u64 = 400_000_000;

/// The class of the deliberate sections: calls are still delivered, device interrupts are not.
const CLASS: PriorityClass = PriorityClass::new(12).expect("a class is 0 to 15");

pub(super) fn watch(arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let word = arguments.required()?;
    arguments.end()?;
    match word {
        "on" => latency::set_measured(true),
        "off" => latency::set_measured(false),
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

/// The longest section of a CPU in which interrupts were masked.
#[derive(Serialize)]
struct Section {
    cpu: u32,
    masked_by: MaskedBy,
    duration_ns: u64,
    /// The code that ended it.
    end: CodeAddress,
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum MaskedBy {
    /// Interrupts were disabled.
    If,
    /// The priority was raised.
    Cr8,
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let masked_by = match self.masked_by {
            MaskedBy::If => "IF",
            MaskedBy::Cr8 => "CR8",
        };
        let Self {
            cpu,
            duration_ns,
            end,
            ..
        } = self;
        let duration = format!("{}", Nanoseconds(*duration_ns));
        write!(f, "  {cpu:>3}  {masked_by:<9}  {duration:>10}  {end}")
    }
}

/// Prints the longest sections of all CPUs, if there are any.
pub(super) fn show(output: Output) {
    let sections = handlers::all_cpus().into_iter().flat_map(|cpu| {
        let sections = SECTIONS.of(cpu);
        let kinds = [
            (MaskedBy::If, &sections.irqs_off),
            (MaskedBy::Cr8, &sections.raised),
        ];
        kinds.into_iter().filter_map(move |(masked_by, section)| {
            let (duration_ns, end) = section.longest()?;
            Some(Section {
                cpu: cpu.id(),
                masked_by,
                duration_ns,
                end: CodeAddress(end),
            })
        })
    });
    for (index, section) in sections.enumerate() {
        if index == 0 {
            output.heading("Longest IRQs-off sections since `prio watch on`:");
            output.heading("  CPU  masked by    duration  end");
        }
        output.print("irqs_off_section", &section);
    }
}
