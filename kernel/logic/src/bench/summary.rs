//! Samples without the cost of measuring, and their percentiles.

/// Takes `overhead`, the cost of measuring nothing, from all samples. None falls below 0: where the
/// cost varies, a sample may have cost less.
pub fn correct(samples: &mut [u64], overhead: u64) {
    for sample in samples {
        *sample = sample.saturating_sub(overhead);
    }
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
