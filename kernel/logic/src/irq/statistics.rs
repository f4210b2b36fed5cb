//! Statistics: the longest section and rates.
//!
//! Only one CPU, the owner, writes the values, in the interrupt path, with ordinary loads and
//! stores: no locked instruction, no cache line that other CPUs write. Other CPUs may read at the
//! same time: each value is then valid, but two values may be from different moments.
//!
//! The owner's writes are not atomic with respect to its own interrupts. A value that several
//! priorities write must be written with interrupts disabled, as in the entry code.

use core::sync::atomic::{AtomicU64, Ordering};

/// The longest section of a kind, with its address in the kernel's code.
///
/// Both are in one word, so that a reader never gets the address of another section.
#[derive(Debug, Default)]
pub struct Longest(AtomicU64);

impl Longest {
    /// No section recorded.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Records a section of `nanoseconds`, saturated at 4.29 s, at an address in the kernel's
    /// image: it is in the last 2 GiB, so the lower half identifies it. Only for the owner.
    #[inline]
    pub fn record(&self, nanoseconds: u64, address: u64) {
        debug_assert!(address >= 0xffff_ffff_8000_0000, "not the kernel's code");
        let duration = nanoseconds.min(u32::MAX.into());
        // Equal durations are no reason to write.
        if duration > self.0.load(Ordering::Relaxed) >> 32 {
            let word = duration << 32 | address & 0xffff_ffff;
            self.0.store(word, Ordering::Relaxed);
        }
    }

    /// The longest duration in nanoseconds, and the address; `None` if none is recorded. Any CPU.
    #[must_use]
    pub fn get(&self) -> Option<(u64, u64)> {
        let word = self.0.load(Ordering::Relaxed);
        (word != 0).then_some((word >> 32, 0xffff_ffff_0000_0000 | word & 0xffff_ffff))
    }

    /// Resets the value. If another CPU resets, a section that is recorded meanwhile may remain or
    /// be lost.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The value of a counter at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The counter. It may wrap.
    pub count: u64,
    /// The time, in nanoseconds.
    pub time: u64,
}

impl Sample {
    /// The rate per second since `before`, rounded to the nearest integer and saturated at
    /// `u64::MAX`. `None` if no time has passed.
    #[must_use]
    pub fn rate_since(&self, before: &Self) -> Option<u64> {
        let elapsed = u128::from(self.time.checked_sub(before.time)?);
        let counted = u128::from(self.count.wrapping_sub(before.count));
        let rate = (counted * 1_000_000_000 + elapsed / 2).checked_div(elapsed)?;
        Some(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}
