//! The results of one run: rounds merged into metrics, and the environment.

pub mod machines;
mod merge;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::path::Path;

use serde::{Deserialize, Serialize};

use self::machines::Machines;
use crate::boot::BootTimes;
use crate::error::BenchError;
use crate::host::Host;
use crate::listing::Listing;
use crate::peers::{Peer, PeerMetric};
use crate::record::{Boot, Bucket, Cause, Clock, Param, Skip, Summary, label};

/// Version of the file format; changes with its fields.
const FORMAT: u32 = 1;

/// The key of a metric in a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    pub clock: Clock,
    pub name: String,
    pub param: Param,
    /// Local APIC mode of the machine.
    pub apic: String,
    /// Number of CPUs of the machine.
    pub cpus: u64,
    pub variant: String,
}

impl Key {
    /// A display name: `self_ipi.entry floor (x2apic, 4 CPUs)`.
    pub fn describe(&self) -> String {
        let label = label(&self.name, &self.variant, &self.param);
        let plural = if self.cpus == 1 { "" } else { "s" };
        format!("{label} ({}, {} CPU{plural})", self.apic, self.cpus)
    }

    /// The parameters alone: `cpus=8`.
    pub fn params(&self) -> String {
        params(&self.param)
    }

    /// Whether both were measured alike except for the variant.
    pub fn is_beside(&self, other: &Self) -> bool {
        let variant = other.variant.clone();
        *other
            == Self {
                variant,
                ..self.clone()
            }
    }
}

/// Parameters for display: `cpus=8 load=idle`.
fn params(param: &Param) -> String {
    let params = param.iter().map(|(key, value)| format!("{key}={value}"));
    params.collect::<Vec<_>>().join(" ")
}

/// A metric of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    #[serde(flatten)]
    pub key: Key,
    pub unit: String,
    /// The overhead of the measurement, which is subtracted; the median of the rounds.
    pub overhead: u64,
    /// Of all rounds.
    pub samples: u64,
    /// Number of samples that the overhead would have made negative.
    #[serde(default)]
    pub below_zero: u64,
    /// The minimum of all rounds, the maximum of all, and between them the medians of the rounds.
    #[serde(flatten)]
    pub summary: Summary,
    /// The values of each round.
    pub rounds: Vec<Summary>,
    /// The histogram of all rounds.
    pub histogram: Vec<Bucket>,
}

impl Metric {
    /// Whether higher values are better, as for a rate.
    pub fn more_is_better(&self) -> bool {
        matches!(self.unit.as_str(), "per_second" | "percent")
    }

    /// The supported percentiles, from the minimum to the maximum; percentiles are those of a
    /// round.
    pub fn supported(&self) -> [Option<u64>; 6] {
        let rounds = u64::try_from(self.rounds.len()).unwrap_or(1).max(1);
        self.summary.supported(self.samples / rounds)
    }

    /// Number of negative samples; empty for none.
    pub fn below_zero_note(&self) -> String {
        match self.below_zero {
            0 => String::new(),
            count => count.to_string(),
        }
    }

    /// The minimum and maximum of the rounds' medians, if there are several.
    pub fn spread(&self) -> Option<(u64, u64)> {
        let medians = || self.rounds.iter().map(|round| round.p50);
        (self.rounds.len() > 1).then_some((medians().min()?, medians().max()?))
    }
}

/// Breakdown of a load run's time: in the round with the median total; the minimum, maximum and
/// slowest samples are those of all rounds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Causes {
    pub clock: Clock,
    pub apic: String,
    pub cpus: u64,
    #[serde(flatten)]
    pub cause: Cause,
}

impl Causes {
    /// The parameters alone.
    pub fn params(&self) -> String {
        params(&self.cause.param)
    }
}

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub format: u32,
    pub host: Host,
    /// The booted machines; older files have none.
    #[serde(default)]
    pub machines: Vec<Machines>,
    /// Older files call them `figures`.
    #[serde(alias = "figures")]
    pub metrics: Vec<Metric>,
    #[serde(default)]
    pub causes: Vec<Causes>,
    #[serde(default)]
    pub skips: Vec<Skip>,
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// The instruction listings of missed targets.
    #[serde(default)]
    pub listings: Vec<Listing>,
    /// Measurements from the host; absent if only some metrics were requested.
    #[serde(default)]
    pub boot: Option<BootTimes>,
}

impl Results {
    /// Merges all boots of a run, in boot order.
    pub fn new(host: Host, boots: &[Boot]) -> Self {
        Self {
            format: FORMAT,
            host,
            machines: machines::of(boots),
            metrics: merge::metrics(boots),
            causes: merge::causes(boots),
            skips: merge::skips(boots),
            peers: Vec::new(),
            listings: Vec::new(),
            boot: None,
        }
    }

    /// The metric measured like this one, but of another variant.
    pub fn beside(&self, key: &Key, variant: &str) -> Option<&Metric> {
        self.metrics
            .iter()
            .find(|metric| metric.key.variant == variant && metric.key.is_beside(key))
    }

    /// The peers that were measured.
    pub fn present(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| !peer.metrics.is_empty())
    }

    /// A peer's value for this metric, and the metric as a fraction of it: `4313 (x0.30)`. If there
    /// are several tests, the first is used, which is the closest; empty if there is none. A value
    /// that cannot be right has `rejected` in place of the fraction, one under a load of the peer's
    /// own `other load`.
    pub fn of_peer(&self, peer: &Peer, metric: &Metric) -> String {
        let beside = |other: &&PeerMetric| {
            let ours = other.ours(self);
            ours.is_some_and(|ours| ours.key == metric.key && ours.unit == other.unit)
        };
        let Some(other) = peer.metrics().find(beside) else {
            return String::new();
        };
        let ratio = other.ratio(self).map(|ratio| format!("x{ratio:.2}"));
        let none = || other.no_ratio().map_or("", |(word, _)| word).to_owned();
        let ratio = ratio.unwrap_or_else(none);
        format!("{:.0} ({ratio})", other.value)
    }

    /// Ratio of a metric's median to the floor's, round by round: each round is a boot with its own
    /// speed.
    pub fn to_floor_by_round(&self, metric: &Metric) -> Option<Vec<f64>> {
        let floor = self.beside(&metric.key, "floor")?;
        let is_base = floor.rounds.len() == metric.rounds.len()
            && floor.rounds.iter().all(|round| round.p50 > 0);
        let ratio = |(own, floor): (&Summary, &Summary)| float(own.p50) / float(floor.p50);
        let rounds = metric.rounds.iter().zip(&floor.rounds);
        (is_base && metric.key.variant != "floor").then(|| rounds.map(ratio).collect())
    }

    /// The median of these ratios.
    pub fn to_floor(&self, metric: &Metric) -> Option<f64> {
        lesser_median(self.to_floor_by_round(metric)?, f64::total_cmp)
    }

    /// Reads an output file of `make bench`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has a different type or version.
    pub fn load(path: &Path) -> Result<Self, BenchError> {
        let text = std::fs::read_to_string(path).map_err(BenchError::file("read", path))?;
        let content = |why| BenchError::Content {
            path: path.to_owned(),
            why,
        };
        let json: serde_json::Value = serde_json::from_str(&text)
            .map_err(|e| content(format!("no JSON: {e}; give a results.json of `make bench`")))?;
        if json["format"] != FORMAT {
            let why = format!(
                "its format is {}, this suite reads {FORMAT}; measure again with `make bench`",
                json["format"]
            );
            return Err(content(why));
        }
        serde_json::from_value(json)
            .map_err(|e| content(format!("no results of `make bench`: {e}")))
    }

    /// As JSON.
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string(self).expect("numbers and names are JSON");
        json + "\n"
    }
}

/// Converts a number of ticks for arithmetic: none is near 2^53.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub fn float(value: u64) -> f64 {
    value as f64
}

/// The median by an order; of two in the middle, the lower one.
pub fn lesser_median<T: Copy>(mut values: Vec<T>, order: fn(&T, &T) -> Ordering) -> Option<T> {
    values.sort_unstable_by(order);
    values.get(values.len().saturating_sub(1) / 2).copied()
}
