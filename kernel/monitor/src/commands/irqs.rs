//! `irqs`: the interrupt count of each vector on each CPU, the rate per second, and the owner.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{self, Write};

use serde::Serialize;
use tocsin_logic::irq::statistics::Sample;
use tocsin_logic::vector::Vector;

use crate::command::{Arguments, CommandError};
use crate::record::Output;
use tocsin::apic::vectors;
use tocsin::cpu::PerCpu;
use tocsin::cpu::handlers::{self, INTERRUPTS};
use tocsin::ipi::call;
use tocsin::sync::IrqMutex;
use tocsin::{Machine, deferred, line, println, time, timer};

/// The number of CPUs with a column in the text; the sum includes the others.
const COLUMNS: usize = 8;

/// The samples of the last table, by vector from [`handlers::FIRST`] up.
static LAST: IrqMutex<Vec<Sample>> = IrqMutex::new(Vec::new());

/// The interrupts of a vector.
#[derive(Serialize)]
struct Irq {
    vector: u8,
    class: u8,
    /// The interrupts of each CPU.
    cpus: Vec<CpuCount>,
    /// The interrupts of all CPUs.
    count: u64,
    /// The rate on all CPUs since the last time that the command ran.
    per_second: u64,
    owner: Owner,
    /// The names of the lines, or of the kernel's interrupt.
    names: Vec<String>,
}

#[derive(Serialize)]
struct CpuCount {
    cpu: u32,
    count: u64,
}

/// The owner of a vector.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
enum Owner {
    Kernel,
    Lines,
    None,
}

impl fmt::Display for Irq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:#06x}  {:>5}", self.vector, self.class)?;
        for cpu in self.cpus.iter().take(COLUMNS) {
            write!(f, "  {:>9}", cpu.count)?;
        }
        write!(f, "  {:>9}  {:>10}  ", self.count, self.per_second)?;
        match self.owner {
            Owner::None => f.write_str("unhandled"),
            Owner::Kernel if self.names.is_empty() => f.write_str("the kernel"),
            Owner::Kernel | Owner::Lines => f.write_str(&self.names.join(", ")),
        }
    }
}

pub(super) fn irqs(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    let cpus = handlers::all_cpus();
    if output == Output::Text {
        let mut header = String::from("  vector  class");
        for cpu in cpus.iter().take(COLUMNS) {
            // Cannot fail: writing to a string never fails.
            let _ = write!(header, "  {:>9}", format!("CPU {}", cpu.id()));
        }
        println!("{header}  {:>9}  {:>10}  owner", "all CPUs", "per second");
    }
    let now = time::nanoseconds();
    let mut samples = Vec::new();
    let before = core::mem::take(&mut *LAST.lock());
    let lines = line::all();
    for vector in handlers::FIRST..=u8::MAX {
        let counts: Vec<CpuCount> = cpus
            .iter()
            .map(|cpu| CpuCount {
                cpu: cpu.id(),
                count: INTERRUPTS.of(*cpu).count(vector),
            })
            .collect();
        let sample = Sample {
            count: counts.iter().map(|cpu| cpu.count).sum(),
            time: now,
        };
        let last = before.get(samples.len()).copied().unwrap_or_default();
        samples.push(sample);
        if sample.count == 0 {
            continue;
        }
        let (owner, names) = owner(vector, &lines, &cpus);
        let irq = Irq {
            vector,
            class: Vector(vector).priority_class().get(),
            cpus: counts,
            count: sample.count,
            per_second: sample.rate_since(&last).unwrap_or(0),
            owner,
            names,
        };
        output.print("irq", &irq);
    }
    *LAST.lock() = samples;
    Ok(())
}

/// Returns the owner of a vector, and the names of its interrupts.
fn owner(vector: u8, lines: &[line::Description], cpus: &[PerCpu]) -> (Owner, Vec<String>) {
    let fixed = [
        (vectors::TIMER, "timer"),
        (vectors::ERROR, "local APIC error"),
        (vectors::SPURIOUS, "spurious"),
        (call::VECTOR, "call"),
        (call::BROADCAST_VECTOR, "broadcast call"),
        (deferred::VECTOR, "deferred work"),
        (timer::COMMANDS, "timer command"),
    ];
    if let Some((_, name)) = fixed.iter().find(|(fixed, _)| fixed.get() == vector) {
        return (Owner::Kernel, [name.to_string()].into());
    }
    let mut names: Vec<String> = lines
        .iter()
        .filter(|line| (line.first.get()..=line.last().get()).contains(&vector))
        .map(|line| line.name.to_string())
        .collect();
    names.dedup();
    if !names.is_empty() {
        return (Owner::Lines, names);
    }
    let is_handled = cpus.iter().any(|cpu| !INTERRUPTS.of(*cpu).is_free(vector));
    let owner = if is_handled {
        Owner::Kernel
    } else {
        Owner::None
    };
    (owner, names)
}
