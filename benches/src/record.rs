//! Machine-readable output of the kernel's `bench` command: lines on COM1 that begin with `@json `,
//! each with one JSON object.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// Prefix of a record's line.
pub const MARK: &str = "@json ";

/// The unit of the guest's time-stamp counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Clock {
    /// Ticks of the host's counter: noisy, but real time.
    Cycles,
    /// Guest instructions, under QEMU's `-icount shift=0`: the same in every run.
    Instructions,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cycles => "cycles",
            Self::Instructions => "instructions",
        })
    }
}

/// A parameter's value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Number(u64),
    Text(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// The parameters of a metric, such as the number of CPUs.
pub type Param = BTreeMap<String, Value>;

/// One record.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Record {
    Run(Run),
    Progress(Progress),
    Metric(Metric),
    Cause(Cause),
    Skip(Skip),
    End(End),
    /// A record of another command.
    #[serde(other)]
    Other,
}

/// The first record: the machine and the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// The kernel's version.
    pub version: String,
    /// `x2apic` or `xapic`.
    pub apic: String,
    pub cpus: u64,
    pub tsc_hz: u64,
    pub clock: Clock,
    /// The step of the clock.
    pub resolution: u64,
}

/// Start of a benchmark.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Progress {
    pub name: String,
    pub step: u64,
    pub of: u64,
}

/// Percentiles; the overhead of the measurement is already subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub max: u64,
}

/// Minimum number of samples for each of them.
const NEEDED: [u64; 6] = [1, 1, 10, 100, 1000, 1];

impl Summary {
    /// All percentiles, ascending.
    pub fn values(&self) -> [u64; 6] {
        [self.min, self.p50, self.p90, self.p99, self.p99_9, self.max]
    }

    /// The percentiles that this number of samples supports: with fewer than a hundred samples, the
    /// 99th percentile equals the maximum, unless all are equal.
    pub fn supported(&self, samples: u64) -> [Option<u64>; 6] {
        let are_alike = samples > 1 && self.min == self.max;
        let values = self.values().into_iter().zip(NEEDED);
        let mut supported = [None; 6];
        for (supported, (value, needed)) in supported.iter_mut().zip(values) {
            *supported = (are_alike || samples >= needed).then_some(value);
        }
        supported
    }
}

/// A bucket: its first value, its last value, and the number of samples.
pub type Bucket = (u64, u64, u64);

/// A metric of one boot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    pub name: String,
    pub variant: String,
    pub unit: String,
    #[serde(default)]
    pub param: Param,
    /// The overhead of the measurement, in the metric's unit.
    pub overhead: u64,
    pub samples: u64,
    /// Number of samples that the overhead would have made negative; they are shown as 0.
    #[serde(default)]
    pub below_zero: u64,
    #[serde(flatten)]
    pub summary: Summary,
    /// The non-empty buckets, ascending.
    #[serde(default)]
    pub histogram: Vec<Bucket>,
}

/// Percentiles of one part of a latency, and the sum over all samples, because percentiles of parts
/// do not add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Part {
    pub min: u64,
    pub p50: u64,
    pub p99: u64,
    pub max: u64,
    #[serde(default)]
    pub sum: u64,
}

/// The parts of the latencies of a load run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    pub name: String,
    #[serde(default)]
    pub param: Param,
    #[serde(default)]
    pub samples: u64,
    /// Number of samples that would have had a negative part, which is shown as 0.
    #[serde(default)]
    pub below_zero: u64,
    pub total: Part,
    pub parts: BTreeMap<String, Part>,
    /// The slowest samples, each part by name.
    #[serde(default)]
    pub worst: Vec<BTreeMap<String, u64>>,
}

/// Metrics that this machine does not support.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Skip {
    pub name: String,
    pub why: String,
}

/// The last record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct End {
    /// Number of metrics.
    pub metrics: u64,
}

/// Records with inconsistent values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRecord {
    #[error("{why} in {line:?}")]
    Syntax { line: String, why: String },
    #[error("no {0} record (the output ended before it)")]
    Missing(&'static str),
    #[error("{announced} metrics were announced and {received} received (serial output was lost)")]
    Count { announced: u64, received: u64 },
    #[error("{0}: duplicate record")]
    Twice(String),
    #[error("{metric}: {what}")]
    Impossible { metric: String, what: String },
}

/// Parses the record in a line of COM1; `None` for ordinary output.
///
/// # Errors
///
/// The line is marked as a record but is not valid.
pub fn in_line(line: &str) -> Result<Option<Record>, BadRecord> {
    let Some((_, json)) = line.split_once(MARK) else {
        return Ok(None);
    };
    match serde_json::from_str(json.trim_end()) {
        Ok(record) => Ok(Some(record)),
        Err(e) => Err(BadRecord::Syntax {
            line: json.trim_end().to_owned(),
            why: e.to_string(),
        }),
    }
}

/// All records of one boot.
#[derive(Debug, Clone, PartialEq)]
pub struct Boot {
    pub run: Run,
    /// QEMU's command line; empty if only text is parsed.
    pub command: String,
    pub metrics: Vec<Metric>,
    pub causes: Vec<Cause>,
    pub skips: Vec<Skip>,
}

impl Boot {
    /// Parses the complete output of COM1.
    ///
    /// # Errors
    ///
    /// A record is missing, unreadable, or inconsistent.
    pub fn parse(text: &str) -> Result<Self, BadRecord> {
        let (mut run, mut end) = (None, None);
        let (mut metrics, mut causes, mut skips) = (Vec::new(), Vec::new(), Vec::new());
        for line in text.lines() {
            match in_line(line)? {
                Some(Record::Run(record)) => run = Some(record),
                Some(Record::Metric(record)) => metrics.push(record),
                Some(Record::Cause(record)) => causes.push(record),
                Some(Record::Skip(record)) => skips.push(record),
                Some(Record::End(record)) => end = Some(record),
                Some(Record::Progress(_) | Record::Other) | None => {}
            }
        }
        let run = run.ok_or(BadRecord::Missing("run"))?;
        let end: End = end.ok_or(BadRecord::Missing("end"))?;
        let received = metrics.len() as u64;
        if end.metrics != received {
            let announced = end.metrics;
            return Err(BadRecord::Count {
                announced,
                received,
            });
        }
        let mut seen = BTreeSet::new();
        for metric in &metrics {
            check(metric)?;
            if !seen.insert(label(&metric.name, &metric.variant, &metric.param)) {
                let label = label(&metric.name, &metric.variant, &metric.param);
                return Err(BadRecord::Twice(label));
            }
        }
        Ok(Self {
            run,
            command: String::new(),
            metrics,
            causes,
            skips,
        })
    }
}

/// A display name: `broadcast.all tocsin cpus=8`.
pub fn label(name: &str, variant: &str, param: &Param) -> String {
    let mut label = format!("{name} {variant}");
    for (key, value) in param {
        label += &format!(" {key}={value}");
    }
    label
}

/// Whether the metric's values are consistent.
fn check(metric: &Metric) -> Result<(), BadRecord> {
    let impossible = |what: String| {
        let metric = label(&metric.name, &metric.variant, &metric.param);
        Err(BadRecord::Impossible { metric, what })
    };
    let values = metric.summary.values();
    if !values.is_sorted() {
        return impossible(format!("percentiles that do not ascend: {values:?}"));
    }
    if metric.samples == 0 {
        return impossible("no sample".to_owned());
    }
    if metric.histogram.is_empty() {
        return Ok(());
    }
    let counted: u64 = metric.histogram.iter().map(|&(_, _, count)| count).sum();
    if counted != metric.samples {
        let samples = metric.samples;
        return impossible(format!("{counted} samples in the histogram of {samples}"));
    }
    let mut last = None;
    for &(first, end, _) in &metric.histogram {
        if first > end || last.is_some_and(|last| first <= last) {
            return impossible(format!("bucket {first} to {end} is out of order"));
        }
        last = Some(end);
    }
    Ok(())
}
