//! The records of `bench`.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Serialize, Serializer};
use tocsin_logic::bench::{Histogram, Split, Summary};

use crate::record::print_line;

/// A record.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(super) enum Record<'a> {
    /// The first record: the machine and the clock.
    Run {
        version: &'a str,
        apic: &'a str,
        cpus: usize,
        tsc_hz: u64,
        clock: &'a str,
        /// The resolution of the clock, in its own units.
        resolution: u64,
    },
    /// Precedes each group.
    Progress {
        name: &'a str,
        step: usize,
        of: usize,
    },
    /// A metric. The overhead has been subtracted from all values.
    Metric {
        name: &'a str,
        variant: &'a str,
        unit: &'a str,
        param: Parameters<'a>,
        overhead: u64,
        samples: usize,
        /// The number of samples that were smaller than the overhead. They are reported as 0.
        below_zero: usize,
        min: u64,
        p50: u64,
        p90: u64,
        p99: u64,
        p99_9: u64,
        max: u64,
        histogram: Vec<(u64, u64, u32)>,
    },
    /// The breakdown of the latencies of a load run.
    Cause {
        name: &'a str,
        param: Parameters<'a>,
        samples: usize,
        below_zero: usize,
        total: Part,
        parts: Parts<Part>,
        worst: Vec<Sample>,
    },
    /// A metric that was not measured.
    Skip { name: &'a str, why: &'a str },
    /// The last record.
    End { metrics: u32 },
}

impl<'a> Record<'a> {
    /// Returns the record of a metric.
    pub(super) fn metric(
        about: About<'a>,
        samples: usize,
        summary: &Summary,
        histogram: &Histogram,
    ) -> Self {
        let About {
            name,
            variant,
            unit,
            param,
            overhead,
            below_zero,
        } = about;
        let buckets = histogram.buckets();
        Self::Metric {
            name,
            variant,
            unit,
            param: Parameters(param),
            overhead,
            samples,
            below_zero,
            min: summary.min,
            p50: summary.p50,
            p90: summary.p90,
            p99: summary.p99,
            p99_9: summary.p99_9,
            max: summary.max,
            histogram: buckets.map(|it| (it.first, it.last, it.count)).collect(),
        }
    }

    /// Prints the record.
    pub(super) fn print(&self) {
        print_line(self);
    }
}

/// The properties of a metric, except its samples.
#[derive(Clone, Copy, Debug)]
pub(super) struct About<'a> {
    pub(super) name: &'a str,
    pub(super) variant: &'a str,
    pub(super) unit: &'a str,
    pub(super) param: &'a [Parameter],
    pub(super) overhead: u64,
    /// The number of samples that were smaller than the overhead.
    pub(super) below_zero: usize,
}

/// Percentiles of one part of a latency, and the sum over all samples, because percentiles of parts
/// do not add up.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Part {
    pub(super) min: u64,
    pub(super) p50: u64,
    pub(super) p99: u64,
    pub(super) max: u64,
    pub(super) sum: u64,
}

impl Part {
    /// Summarizes all samples. Returns `None` if there are none.
    pub(super) fn of(samples: &mut [u64]) -> Option<Self> {
        let summary = Summary::of(samples)?;
        Some(Self {
            min: summary.min,
            p50: summary.p50,
            p99: summary.p99,
            max: summary.max,
            sum: samples.iter().sum(),
        })
    }
}

/// A value for each part of a latency.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Parts<T> {
    pub(super) if_off: T,
    pub(super) cr8: T,
    pub(super) in_service: T,
    pub(super) hardware: T,
    pub(super) dispatch: T,
}

impl From<Split> for Parts<u64> {
    fn from(split: Split) -> Self {
        let Split {
            if_off,
            cr8,
            in_service,
            hardware,
            dispatch,
        } = split;
        Self {
            if_off,
            cr8,
            in_service,
            hardware,
            dispatch,
        }
    }
}

/// The breakdown of one latency.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Sample {
    pub(super) total: u64,
    #[serde(flatten)]
    pub(super) parts: Parts<u64>,
}

/// A parameter that distinguishes metrics of the same name: its name and its value.
pub(super) type Parameter = (&'static str, Value);

/// The value of a parameter.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Value {
    /// A number.
    Number(u64),
    /// A word.
    Word(&'static str),
}

impl core::fmt::Display for Value {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// Parameters, as a JSON object.
#[derive(Debug)]
pub(super) struct Parameters<'a>(pub(super) &'a [Parameter]);

impl Serialize for Parameters<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
}

/// Formats parameters as text for the table.
pub(super) fn text(parameters: &[Parameter]) -> String {
    let words: Vec<String> = parameters
        .iter()
        .map(|(name, value)| alloc::format!("{name} {value}"))
        .collect();
    words.join(", ")
}
