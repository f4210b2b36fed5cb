//! A log-linear histogram: buckets of one value each up to 63, and from there on 32 to each power of
//! two, so that a bucket is at most 1/32 of its values wide.

/// Buckets to a power of two, as a power of two.
const PRECISION: u32 = 5;

/// Buckets to a power of two.
const STEPS: usize = 1 << PRECISION;

/// For all 64-bit values: those below `STEPS`, and `STEPS` for each power of two from there on.
const BUCKETS: usize = STEPS * (64 - PRECISION as usize + 1);

/// Counts of values, by buckets. About 8 KiB.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: [u32; BUCKETS],
}

/// The values of a bucket, and how many there are of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The least value that belongs to it.
    pub first: u64,
    /// The greatest.
    pub last: u64,
    /// How many values it has.
    pub count: u32,
}

impl Histogram {
    /// One without values.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            counts: [0; BUCKETS],
        }
    }

    /// Empties it.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// Counts a value. A bucket that is full stays so.
    pub fn record(&mut self, value: u64) {
        let count = &mut self.counts[index(value)];
        *count = count.saturating_add(1);
    }

    /// The buckets that have values, in ascending order.
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

/// The bucket that `value` belongs to.
const fn index(value: u64) -> usize {
    if value < STEPS as u64 {
        return value as usize;
    }
    // The power of two that the value lies above, from PRECISION on, and its next PRECISION bits.
    let power = value.ilog2();
    let step = (value >> (power - PRECISION)) as usize - STEPS;
    (power - PRECISION + 1) as usize * STEPS + step
}

/// The least and the greatest value of the bucket with this index.
const fn bounds(index: usize) -> (u64, u64) {
    if index < STEPS {
        return (index as u64, index as u64);
    }
    let shift = index / STEPS - 1;
    let first = ((index % STEPS + STEPS) as u64) << shift;
    (first, first + ((1 << shift) - 1))
}
