//! `irqs`: the interrupt count of each vector on each CPU, the rate per second, and the owner.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

use tocsin::cpu::handlers::INTERRUPTS;
use tocsin_logic::irq::statistics::Sample;
use tocsin_logic::vector::Vector;

use crate::command::{Arguments, CommandError};
use tocsin::apic::vectors;
use tocsin::cpu::{PerCpu, handlers};
use tocsin::ipi::call;
use tocsin::sync::IrqMutex;
use tocsin::{Machine, deferred, line, println, time, timer};

/// The number of CPUs with a column; the sum includes the others.
const COLUMNS: usize = 8;

/// The samples of the last table, by vector from [`handlers::FIRST`] up.
static LAST: IrqMutex<Vec<Sample>> = IrqMutex::new(Vec::new());

pub(super) fn irqs(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    arguments.end()?;
    let cpus = handlers::all_cpus();
    let shown = &cpus[..cpus.len().min(COLUMNS)];
    let mut header = String::from("  vector  class");
    for cpu in shown {
        // Cannot fail: writing to a string never fails.
        let _ = write!(header, "  {:>9}", format!("CPU {}", cpu.id()));
    }
    println!("{header}  {:>9}  {:>8}  whose", "all CPUs", "a second");
    let now = time::nanoseconds();
    let mut samples = Vec::new();
    let before = core::mem::take(&mut *LAST.lock());
    let lines = line::all();
    for vector in handlers::FIRST..=u8::MAX {
        let counts: Vec<u64> = cpus
            .iter()
            .map(|cpu| INTERRUPTS.of(*cpu).count(vector))
            .collect();
        let sample = Sample {
            count: counts.iter().sum::<u64>(),
            time: now,
        };
        let last = before.get(samples.len()).copied().unwrap_or_default();
        samples.push(sample);
        if sample.count == 0 {
            continue;
        }
        let mut row = format!(
            "  {vector:#06x}  {:>5}",
            Vector(vector).priority_class().get()
        );
        for count in counts.iter().take(COLUMNS) {
            let _ = write!(row, "  {count:>9}");
        }
        println!(
            "{row}  {:>9}  {:>8}  {}",
            sample.count,
            sample.rate_since(&last).unwrap_or(0),
            owners(vector, &lines, &cpus)
        );
    }
    *LAST.lock() = samples;
    Ok(())
}

/// Returns the owner of a vector: the kernel, lines, or none.
fn owners(vector: u8, lines: &[line::Description], cpus: &[PerCpu]) -> String {
    let fixed = [
        (vectors::TIMER, "timer"),
        (vectors::ERROR, "local APIC error"),
        (vectors::SPURIOUS, "spurious"),
        (call::VECTOR, "calls"),
        (call::VECTOR_TO_ALL, "calls to all"),
        (deferred::VECTOR, "work put off"),
        (timer::COMMANDS, "timers of other CPUs"),
    ];
    if let Some((_, name)) = fixed.iter().find(|(fixed, _)| fixed.get() == vector) {
        return String::from(*name);
    }
    let mut names: Vec<&str> = lines
        .iter()
        .filter(|line| (line.first.get()..=line.last().get()).contains(&vector))
        .map(|line| line.name)
        .collect();
    names.dedup();
    if !names.is_empty() {
        return names.join(", ");
    }
    let answered = cpus.iter().any(|cpu| !INTERRUPTS.of(*cpu).is_free(vector));
    String::from(if answered {
        "the kernel"
    } else {
        "nobody answers now"
    })
}
