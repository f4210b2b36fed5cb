//! How much memory the kernel takes for each CPU beyond its stacks: page tables, the
//! per-CPU block and the heap's growth.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use tocsin_tools::settings::{BootWay, Smp};
use tocsin_tools::{Machine, Outcome, Session};

use crate::boot::PATIENCE;
use crate::error::BenchError;

/// CPUs of the two machines that are compared.
const FEW: u32 = 1;
const MANY: u32 = 129;

/// Bytes of each CPU's stacks: thread, interrupt and four for exceptions.
const STACKS: u64 = (64 + 32 + 4 * 16) << 10;

/// What each may take at most beyond them.
const LIMIT: u64 = 16 << 10;

/// The figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerCpu {
    /// Bytes for each CPU beyond its stacks, to about 400.
    bytes: u64,
}

/// Measures it, from what `memory` says of the frames in use.
///
/// # Errors
///
/// A machine does not start, or `memory` is not understood.
pub fn measure() -> Result<PerCpu, BenchError> {
    let (few, many) = (used(FEW)?, used(MANY)?);
    let each = many.saturating_sub(few) / u64::from(MANY - FEW);
    let bytes = each.saturating_sub(STACKS);
    Ok(PerCpu { bytes })
}

/// Bytes of the frames in use on a machine with this many CPUs.
fn used(cpus: u32) -> Result<u64, BenchError> {
    let smp = Smp::parse(&cpus.to_string()).expect("a number of CPUs");
    let machine = Machine::new(BootWay::Direct).smp(smp);
    let mut session = Session::start(&machine.append("run=\"memory; poweroff\""))?;
    session.expect_exit(Outcome::Kernel(0), PATIENCE)?;
    let said = session.transcript().text_from(0);
    let line = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("frames above 1 MiB"));
    let bytes = line.and_then(used_bytes);
    bytes.ok_or_else(|| BenchError::Memory(line.unwrap_or_default().to_owned()))
}

/// The second of two sizes, as `509.8 MiB   440 KiB`, in bytes.
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
    /// Writes it.
    pub fn show(&self, out: &mut String) {
        let verdict = if self.is_within_limit() {
            "reached"
        } else {
            "MISSED"
        };
        let (tenths, limit) = (self.bytes * 10 / 1024, LIMIT >> 10);
        let kib = format!("{}.{}", tenths / 10, tenths % 10);
        *out += &format!(
            "\nmemory for each CPU beyond its stacks, {MANY} CPUs compared with {FEW}\n  \
             bytes        {kib:>8} KiB; at most {limit} KiB is the aim: {verdict}\n"
        );
    }

    /// Whether each CPU takes no more than it may.
    pub fn is_within_limit(&self) -> bool {
        self.bytes <= LIMIT
    }
}
