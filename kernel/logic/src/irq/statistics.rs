//! How the longest stretch and rates are kept.
//!
//! What is written here is written by one CPU, its owner, on the way of an interrupt,
//! with ordinary loads and stores: no locked instruction, no line that others
//! write. Others read while it is being written: each number is then a true one, but two
//! of them may be from different moments.
//!
//! The owner's writes are not atomic against its own interrupts. A value that several
//! priorities write is written with interrupts off, as the entry code does it.

use core::sync::atomic::{AtomicU64, Ordering};

/// The longest stretch of something, and where in the kernel's code it was.
///
/// Both are one word, so that a reader never has the address of another stretch.
#[derive(Debug, Default)]
pub struct Longest(AtomicU64);

impl Longest {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Notes a stretch of `nanoseconds`, above 4.29 s taken as 4.29 s, at a code address of
    /// the kernel's image: in the last 2 GiB, where the
    /// lower half says it all. Only the owner.
    #[inline]
    pub fn note(&self, nanoseconds: u64, address: u64) {
        debug_assert!(address >= 0xffff_ffff_8000_0000, "not the kernel's code");
        let duration = nanoseconds.min(u32::MAX.into());
        // Equal durations are no reason to write.
        if duration > self.0.load(Ordering::Relaxed) >> 32 {
            let word = duration << 32 | address & 0xffff_ffff;
            self.0.store(word, Ordering::Relaxed);
        }
    }

    /// The longest in nanoseconds, and the address; `None` if there was none. Any CPU.
    #[must_use]
    pub fn get(&self) -> Option<(u64, u64)> {
        let word = self.0.load(Ordering::Relaxed);
        (word != 0).then_some((word >> 32, 0xffff_ffff_0000_0000 | word & 0xffff_ffff))
    }

    /// Begins again. From another CPU, a stretch that is noted meanwhile may stay or be lost.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// A counter's value at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// The counter. It may wrap.
    pub count: u64,
    /// The moment, in nanoseconds.
    pub time: u64,
}

impl Sample {
    /// How often it counted in each second since `before`, rounded to the nearest. `None`
    /// if no time has passed. More than 64 bits hold is `u64::MAX`.
    #[must_use]
    pub fn rate_since(&self, before: &Self) -> Option<u64> {
        let elapsed = u128::from(self.time.checked_sub(before.time)?);
        let counted = u128::from(self.count.wrapping_sub(before.count));
        let rate = (counted * 1_000_000_000 + elapsed / 2).checked_div(elapsed)?;
        Some(u64::try_from(rate).unwrap_or(u64::MAX))
    }
}
