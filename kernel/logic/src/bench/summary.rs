//! Subtraction of the measurement overhead, and percentiles.

/// Subtracts `overhead`, the cost of an empty measurement, from all samples. Each sample is the
/// difference of two counter readings, modulo 2^64. A negative result is set to 0: the overhead
/// varies, so that a sample may cost less, and the counters of two CPUs or two clocks may differ.
/// Returns the number of negative results.
#[must_use]
pub fn correct(samples: &mut [u64], overhead: u64) -> usize {
    let mut below = 0;
    for sample in samples {
        let difference = sample.wrapping_sub(overhead);
        // The difference of two readings is always below half the range of the counter.
        let is_below = difference > u64::MAX / 2;
        below += usize::from(is_below);
        *sample = if is_below { 0 } else { difference };
    }
    below
}

/// The resolution of a counter: the minimum difference between two common values of `samples`. A
/// value is common if at least a tenth of the samples have it; rarer values come from disturbances
/// and from adjustments of the counter. Sorts the samples. Returns `None` if there are fewer than
/// two common values.
#[must_use]
pub fn resolution(samples: &mut [u64]) -> Option<u64> {
    samples.sort_unstable();
    let enough = samples.len().div_ceil(10);
    let mut common = samples
        .chunk_by(|one, other| one == other)
        .filter(|alike| alike.len() >= enough)
        .map(|alike| alike[0]);
    let mut last = common.next()?;
    let distances = common.map(|value| value - core::mem::replace(&mut last, value));
    distances.min()
}

/// The median of `samples`; 0 if there are none. Sorts the samples.
#[must_use]
pub fn median(samples: &mut [u64]) -> u64 {
    Summary::of(samples).map_or(0, |summary| summary.p50)
}

/// The minimum, percentiles and maximum of samples. A percentile is the smallest sample such that
/// at least that share of all samples does not exceed it (nearest rank), so it is always a measured
/// value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Summary {
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub max: u64,
}

impl Summary {
    /// Summarizes `samples`, and sorts them; returns `None` if there are none.
    #[must_use]
    pub fn of(samples: &mut [u64]) -> Option<Self> {
        samples.sort_unstable();
        let (&min, &max) = (samples.first()?, samples.last()?);
        let percentile = |per_mille: usize| {
            // The rank is rounded up and starts at 1.
            let rank = (samples.len() * per_mille).div_ceil(1000).max(1);
            samples[rank - 1]
        };
        Some(Self {
            min,
            p50: percentile(500),
            p90: percentile(900),
            p99: percentile(990),
            p99_9: percentile(999),
            max,
        })
    }
}
