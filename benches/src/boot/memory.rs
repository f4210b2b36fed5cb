//! Memory use per CPU in addition to its stacks: page tables, the per-CPU block and the heap's
//! growth.

#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tocsin_tools::settings::Smp;
use tocsin_tools::{Machine, Outcome, Session};

use crate::boot::TIMEOUT;
use crate::error::BenchError;
use crate::record::MARK;

/// Numbers of CPUs of the two machines that are compared.
const FEW: u32 = 1;
const MANY: u32 = 129;

/// Maximum memory per CPU in addition to its stacks.
const LIMIT: u64 = 16 << 10;

/// The metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerCpu {
    /// Size of each CPU's stacks, from the kernel's output, in bytes.
    stacks: u64,
    /// Memory per CPU in addition to its stacks, in bytes, to about 400.
    bytes: u64,
}

/// The relevant records of `memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct MemoryUse {
    /// Size of the frames in use, in bytes.
    used: u64,
    /// Size of one CPU's stacks, in bytes. It is the same for all CPUs.
    stacks: u64,
}

/// Measures the metric, from the frames in use that `memory` reports.
///
/// # Errors
///
/// A machine does not start, or the records of `memory` cannot be parsed.
pub fn measure(base: &Machine) -> Result<PerCpu, BenchError> {
    Ok(PerCpu::between(
        measure_machine(base, FEW)?,
        measure_machine(base, MANY)?,
    ))
}

/// The records of `memory` on a machine with this many CPUs.
fn measure_machine(base: &Machine, cpus: u32) -> Result<MemoryUse, BenchError> {
    let smp = Smp::parse(&cpus.to_string()).expect("a number of CPUs");
    let machine = base.clone().smp(smp);
    let mut session = Session::start(&machine.append("run=\"memory json; poweroff\""))?;
    session.expect_exit(Outcome::Kernel(0), TIMEOUT)?;
    MemoryUse::parse(&session.transcript().text_from(0))
}

/// The records of `memory` that count here.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Record {
    /// An allocator.
    Allocator { name: String, used: u64 },
    /// A stack of the CPU that runs the command.
    Stack { range: Range<u64> },
    #[serde(other)]
    Other,
}

impl MemoryUse {
    fn parse(text: &str) -> Result<Self, BenchError> {
        let (mut used, mut stacks) = (None, 0);
        for line in text.lines().filter_map(|line| line.strip_prefix(MARK)) {
            let not_understood = || BenchError::Memory(line.to_owned());
            match serde_json::from_str(line).map_err(|_| not_understood())? {
                Record::Allocator { name, used: bytes } if name == "high_frames" => {
                    used = Some(bytes);
                }
                Record::Stack { range } => {
                    let size = range.end.checked_sub(range.start);
                    stacks += size.ok_or_else(not_understood)?;
                }
                Record::Allocator { .. } | Record::Other => {}
            }
        }
        match used {
            Some(used) if stacks > 0 => Ok(Self { used, stacks }),
            _ => Err(BenchError::Memory("nothing".to_owned())),
        }
    }
}

impl PerCpu {
    /// Computes the metric from the output on a machine with [`FEW`] CPUs and on one with [`MANY`].
    fn between(few: MemoryUse, many: MemoryUse) -> Self {
        let each = many.used.saturating_sub(few.used) / u64::from(MANY - FEW);
        Self {
            stacks: many.stacks,
            bytes: each.saturating_sub(many.stacks),
        }
    }

    /// Writes it.
    pub fn show(&self, out: &mut String) {
        let verdict = if self.is_within_limit() {
            "met"
        } else {
            "MISSED"
        };
        let (tenths, limit) = (self.bytes * 10 / 1024, LIMIT >> 10);
        let kib = format!("{}.{}", tenths / 10, tenths % 10);
        let stacks = self.stacks >> 10;
        *out += &format!(
            "\nmemory for each CPU beyond its stacks ({stacks} KiB), {MANY} CPUs compared with {FEW}\n  \
             bytes        {kib:>8} KiB; at most {limit} KiB is the target: {verdict}\n"
        );
    }

    /// Whether the memory per CPU is within the limit.
    pub fn is_within_limit(&self) -> bool {
        self.bytes <= LIMIT
    }
}
