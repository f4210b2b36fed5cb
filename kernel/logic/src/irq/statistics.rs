//! How durations, rates and maxima are kept.
//!
//! What is written here is written by one CPU, its owner, on the way of an interrupt,
//! with ordinary loads and stores: no locked instruction, no line that others
//! write. Others read while it is being written: each number is then a true one, but two
//! of them may be from different moments.
//!
//! The owner's writes are not atomic against its own interrupts. A value that several
//! priorities write is written with interrupts off, as the entry code does it.

use core::sync::atomic::{AtomicU64, Ordering};

/// How many buckets a [`Histogram`] has: one for 0, and one for each bit.
pub const BUCKETS: usize = 65;

/// How often each order of magnitude occurred. The unit is the caller's: nanoseconds or
/// TSC cycles. 536 bytes.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum: AtomicU64,
    max: HighWater,
}

impl Histogram {
    /// An empty one.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            buckets: [const { AtomicU64::new(0) }; BUCKETS],
            sum: AtomicU64::new(0),
            max: HighWater::new(),
        }
    }

    /// Notes a value. Only the owner.
    #[inline]
    pub fn record(&self, value: u64) {
        let bucket = &self.buckets[bucket_of(value)];
        bucket.store(bucket.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let sum = self.sum.load(Ordering::Relaxed);
        self.sum.store(sum.wrapping_add(value), Ordering::Relaxed);
        self.max.raise(value);
    }

    /// What has been noted so far. Any CPU.
    #[must_use]
    pub fn snapshot(&self) -> Distribution {
        Distribution {
            buckets: self
                .buckets
                .each_ref()
                .map(|bucket| bucket.load(Ordering::Relaxed)),
            sum: self.sum.load(Ordering::Relaxed),
            max: self.max.get(),
        }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The bucket of a value: 0 for 0, else the number of its bits.
const fn bucket_of(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()) as usize
}

/// What a [`Histogram`] held at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Distribution {
    buckets: [u64; BUCKETS],
    /// Modulo 2^64.
    sum: u64,
    max: u64,
}

impl Distribution {
    /// Of nothing.
    pub const EMPTY: Self = Self {
        buckets: [0; BUCKETS],
        sum: 0,
        max: 0,
    };

    /// How many values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The largest value, 0 if there is none.
    #[must_use]
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The mean, rounded down; `None` if there is no value. Wrong once the sum has
    /// passed 2^64: in nanoseconds, after 584 years.
    #[must_use]
    pub fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count())
    }

    /// A number that at least `per_mille` thousandths of the values do not exceed: the
    /// upper end of the bucket that they fill, or the largest value if that is less. `None` if
    /// there is no value. 1000 and above gives the largest value.
    #[must_use]
    pub fn quantile(&self, per_mille: u32) -> Option<u64> {
        let count = u128::from(self.count());
        let wanted = (count * u128::from(per_mille.min(1000))).div_ceil(1000);
        let mut so_far = 0;
        self.buckets()
            .find(|&(_, _, in_bucket)| {
                so_far += u128::from(in_bucket);
                so_far >= wanted
            })
            .map(|(_, last, _)| last.min(self.max))
    }

    /// The buckets that are not empty, each with its least and its greatest value and how many
    /// it holds; rising.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64, u64)> + '_ {
        (0..)
            .zip(&self.buckets)
            .filter(|&(_, &count)| count > 0)
            .map(|(bits, &count)| match bits {
                0 => (0, 0, count),
                _ => (1 << (bits - 1), u64::MAX >> (64 - bits), count),
            })
    }

    /// Both together: of several CPUs.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        for (own, others) in self.buckets.iter_mut().zip(&other.buckets) {
            *own += others;
        }
        self.sum = self.sum.wrapping_add(other.sum);
        self.max = self.max.max(other.max);
        self
    }
}

/// The largest of the values noted.
#[derive(Debug, Default)]
pub struct HighWater(AtomicU64);

impl HighWater {
    /// None yet: 0.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Notes a value. Only the owner. Returns whether it is the largest so far.
    #[inline]
    pub fn raise(&self, value: u64) -> bool {
        let is_new = value > self.0.load(Ordering::Relaxed);
        if is_new {
            self.0.store(value, Ordering::Relaxed);
        }
        is_new
    }

    /// The largest. Any CPU.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Begins again at 0. From another CPU, a value that is noted meanwhile may stay or
    /// be lost.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// The longest stretch of something, and where in the kernel's code it was.
///
/// Both are one word, so that a reader never has the address of another stretch.
#[derive(Debug, Default)]
pub struct Longest(HighWater);

impl Longest {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(HighWater::new())
    }

    /// Notes a stretch of `nanoseconds`, above 4.29 s taken as 4.29 s, at a code address of
    /// the kernel's image: in the last 2 GiB ([`crate::layout::KERNEL`]), where the
    /// lower half says it all. Only the owner. Returns whether it is the longest so far.
    #[inline]
    pub fn note(&self, nanoseconds: u64, address: u64) -> bool {
        debug_assert!(address >= crate::layout::KERNEL, "not the kernel's code");
        let duration = nanoseconds.min(u32::MAX.into());
        // Equal durations are no reason to write.
        duration > self.0.get() >> 32 && self.0.raise(duration << 32 | address & 0xffff_ffff)
    }

    /// The longest in nanoseconds, and the address; `None` if there was none. Any CPU.
    #[must_use]
    pub fn get(&self) -> Option<(u64, u64)> {
        let word = self.0.get();
        (word != 0).then_some((word >> 32, 0xffff_ffff_0000_0000 | word & 0xffff_ffff))
    }

    /// Begins again; as [`HighWater::reset`].
    pub fn reset(&self) {
        self.0.reset();
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
