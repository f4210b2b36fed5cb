//! Samples without the cost of measuring, and their percentiles.

/// Takes `overhead`, the cost of measuring nothing, from all samples: each the difference of two readings of a
/// counter, modulo 2^64. None falls below 0: where the cost varies a sample may have cost less, and the counters
/// of two CPUs or two clocks may differ. Returns how many would have.
#[must_use]
pub fn correct(samples: &mut [u64], overhead: u64) -> usize {
    let mut below = 0;
    for sample in samples {
        let difference = sample.wrapping_sub(overhead);
        // No two readings are half the counter's range apart.
        let is_below = difference > u64::MAX / 2;
        below += usize::from(is_below);
        *sample = if is_below { 0 } else { difference };
    }
    below
}

/// How finely a counter tells the time: the least distance between two of `samples` that are common, each at
/// least a tenth of all. Rarer ones are other things that came in between, and steps by which the counter is
/// kept right.
/// `None` if all that are common are alike.
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

/// The median of some samples, which are sorted for it; 0 if there are none.
#[must_use]
pub fn median(samples: &mut [u64]) -> u64 {
    Summary::of(samples).map_or(0, |summary| summary.p50)
}

/// Least, percentiles and greatest of some samples. A percentile is the least sample that is not
/// below that share of all samples (the nearest rank), so it is always one that was measured.
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
    /// Of all `samples`, which are sorted for it; `None` if there are none.
    #[must_use]
    pub fn of(samples: &mut [u64]) -> Option<Self> {
        samples.sort_unstable();
        let (&min, &max) = (samples.first()?, samples.last()?);
        let percentile = |per_mille: usize| {
            // Rounded up, and counted from 1.
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
