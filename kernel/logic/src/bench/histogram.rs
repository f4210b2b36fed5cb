//! A log-linear histogram: one bucket per value up to 63, and above that 32 buckets per power of
//! two, so that the width of a bucket is at most 1/32 of its values.

/// The binary logarithm of the number of buckets per power of two.
const PRECISION: u32 = 5;

/// The number of buckets per power of two.
const STEPS: usize = 1 << PRECISION;

/// The number of buckets for all 64-bit values: one for each value below `STEPS`, and `STEPS` for
/// each power of two above.
const BUCKETS: usize = STEPS * (64 - PRECISION as usize + 1);

/// The counts of all buckets. About 8 KiB.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u32; BUCKETS],
}

/// The range of values of a bucket, and its count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The smallest value of the bucket.
    pub first: u64,
    /// The greatest value of the bucket.
    pub last: u64,
    /// The number of recorded values in the bucket.
    pub count: u32,
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            counts: [0; BUCKETS],
        }
    }

    /// Removes all values.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// Records a value. The count of a bucket saturates.
    pub fn record(&mut self, value: u64) {
        let count = &mut self.counts[index(value)];
        *count = count.saturating_add(1);
    }

    /// The buckets that are not empty, in ascending order.
    pub fn buckets(&self) -> impl Iterator<Item = Bucket> + '_ {
        let counts = self.counts.iter().enumerate();
        counts
            .filter(|&(_, &count)| count > 0)
            .map(|(index, &count)| {
                let (first, last) = bounds(index);
                Bucket { first, last, count }
            })
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The index of the bucket of `value`.
const fn index(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    // The power of two, counted from PRECISION, and the next PRECISION bits.
    let power = value.ilog2();
    let step = (value >> (power - PRECISION)) as usize - STEPS;
    (power - PRECISION + 1) as usize * STEPS + step
}

/// The smallest and the greatest value of the bucket with this index.
const fn bounds(index: usize) -> (u64, u64) {
    if index < STEPS {
        return (index as u64, index as u64);
    }
    let shift = index / STEPS - 1;
    let first = ((index % STEPS + STEPS) as u64) << shift;
    (first, first + ((1 << shift) - 1))
}
