//! Memory use per CPU in addition to its stacks: page tables, the per-CPU block and the heap's
//! growth.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use tocsin_tools::settings::Smp;
use tocsin_tools::{Machine, Outcome, Session};

use crate::boot::PATIENCE;
use crate::error::BenchError;

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

/// The relevant output of `memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Said {
    /// Size of the frames in use, in bytes.
    used: u64,
    /// Size of one CPU's stacks, in bytes. It is the same for all CPUs.
    stacks: u64,
}

/// Measures the metric, from the frames in use that `memory` reports.
///
/// # Errors
///
/// A machine does not start, or the output of `memory` cannot be parsed.
pub fn measure(base: &Machine) -> Result<PerCpu, BenchError> {
    Ok(PerCpu::between(ask(base, FEW)?, ask(base, MANY)?))
}

/// The output of `memory` on a machine with this many CPUs.
fn ask(base: &Machine, cpus: u32) -> Result<Said, BenchError> {
    let smp = Smp::parse(&cpus.to_string()).expect("a number of CPUs");
    let machine = base.clone().smp(smp);
    let mut session = Session::start(&machine.append("run=\"memory; poweroff\""))?;
    session.expect_exit(Outcome::Kernel(0), PATIENCE)?;
    Said::parse(&session.transcript().text_from(0))
}

impl Said {
    fn parse(text: &str) -> Result<Self, BenchError> {
        let not_understood = |line: Option<&str>| {
            let line = line.unwrap_or("nothing").trim();
            BenchError::Memory(line.to_owned())
        };
        let line = text
            .lines()
            .find_map(|line| line.trim().strip_prefix("frames above 1 MiB"));
        let used = line.and_then(used_bytes);
        let used = used.ok_or_else(|| not_understood(line))?;
        let mut rows = text
            .lines()
            .skip_while(|line| !line.starts_with("Stacks of CPU"))
            .skip(1)
            .take_while(|line| line.starts_with("  "))
            .peekable();
        rows.peek().ok_or_else(|| not_understood(None))?;
        let stacks = rows.map(|row| stack_bytes(row).ok_or_else(|| not_understood(Some(row))));
        let stacks = stacks.sum::<Result<u64, BenchError>>()?;
        Ok(Self { used, stacks })
    }
}

/// The size of a stack in bytes, from the addresses of its first and last byte.
fn stack_bytes(row: &str) -> Option<u64> {
    let mut words = row.split_whitespace();
    let mut address = || u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok();
    let (first, last) = (address()?, address()?);
    last.checked_sub(first)?.checked_add(1)
}

/// The second of two sizes, such as `509.8 MiB   440 KiB`, in bytes.
fn used_bytes(sizes: &str) -> Option<u64> {
    let mut words = sizes.split_whitespace().skip(2);
    let number: f64 = words.next()?.parse().ok()?;
    let scale = match words.next()? {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1024.0 * 1024.0,
        "GiB" => 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    // No size of a frame allocator is negative, or has more than 53 bits.
    #[expect(clippy::cast_sign_loss, reason = "see above")]
    Some((number * scale) as u64)
}

impl PerCpu {
    /// Computes the metric from the output on a machine with [`FEW`] CPUs and on one with [`MANY`].
    fn between(few: Said, many: Said) -> Self {
        let each = many.used.saturating_sub(few.used) / u64::from(MANY - FEW);
        Self {
            stacks: many.stacks,
            bytes: each.saturating_sub(many.stacks),
        }
    }

    /// Writes it.
    pub fn show(&self, out: &mut String) {
        let verdict = if self.is_within_limit() {
            "reached"
        } else {
            "MISSED"
        };
        let (tenths, limit) = (self.bytes * 10 / 1024, LIMIT >> 10);
        let kib = format!("{}.{}", tenths / 10, tenths % 10);
        let stacks = self.stacks >> 10;
        *out += &format!(
            "\nmemory for each CPU beyond its stacks ({stacks} KiB), {MANY} CPUs compared with {FEW}\n  \
             bytes        {kib:>8} KiB; at most {limit} KiB is the aim: {verdict}\n"
        );
    }

    /// Whether the memory per CPU is within the limit.
    pub fn is_within_limit(&self) -> bool {
        self.bytes <= LIMIT
    }
}
