//! All that was measured in one sitting: rounds merged into figures, and where it was measured.

#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::boot::BootTimes;
use crate::error::BenchError;
use crate::host::Host;
use crate::listing::Listing;
use crate::peers::{Peer, PeerFigure};
use crate::record::{Boot, Bucket, Cause, Clock, Param, Skip, Summary, label};

/// Of the file; changes when its fields do.
const FORMAT: u32 = 1;

/// What tells a figure from all others of a sitting.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Key {
    pub clock: Clock,
    pub name: String,
    pub param: Param,
    /// Of the machine.
    pub apic: String,
    /// Of the machine.
    pub cpus: u64,
    pub variant: String,
}

impl Key {
    /// For people: `self_ipi.entry floor (x2apic, 4 CPUs)`.
    pub fn describe(&self) -> String {
        let label = label(&self.name, &self.variant, &self.param);
        let plural = if self.cpus == 1 { "" } else { "s" };
        format!("{label} ({}, {} CPU{plural})", self.apic, self.cpus)
    }

    /// The parameters alone: `cpus=8`.
    pub fn params(&self) -> String {
        params(&self.param)
    }

    /// Whether both were measured alike, but for the variant.
    pub fn is_beside(&self, other: &Self) -> bool {
        let variant = other.variant.clone();
        *other
            == Self {
                variant,
                ..self.clone()
            }
    }
}

/// Parameters for people: `cpus=8 load=idle`.
fn params(param: &Param) -> String {
    let params = param.iter().map(|(key, value)| format!("{key}={value}"));
    params.collect::<Vec<_>>().join(" ")
}

/// A figure of the sitting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    #[serde(flatten)]
    pub key: Key,
    pub unit: String,
    /// What measuring costs, which is taken off; the rounds' median.
    pub overhead: u64,
    /// Of all rounds.
    pub samples: u64,
    /// The least of all rounds, the greatest of all, and between them the rounds' medians.
    #[serde(flatten)]
    pub summary: Summary,
    /// Each round's own.
    pub rounds: Vec<Summary>,
    /// Of all rounds.
    pub histogram: Vec<Bucket>,
}

impl Figure {
    /// Whether more is better, as of a rate.
    pub fn more_is_better(&self) -> bool {
        matches!(self.unit.as_str(), "per_second" | "percent")
    }
}

/// Where the time of a load run went, in one of the rounds.
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

/// A sitting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    pub format: u32,
    pub host: Host,
    pub figures: Vec<Figure>,
    #[serde(default)]
    pub causes: Vec<Causes>,
    #[serde(default)]
    pub skips: Vec<Skip>,
    #[serde(default)]
    pub peers: Vec<Peer>,
    /// What missed aims are made of.
    #[serde(default)]
    pub listings: Vec<Listing>,
    /// Measured from outside; absent where only some figures were asked for.
    #[serde(default)]
    pub boot: Option<BootTimes>,
}

impl Results {
    /// From all boots of a sitting, in the order in which they were made.
    pub fn new(host: Host, boots: &[Boot]) -> Self {
        let (causes, skips) = (causes(boots), skips(boots));
        Self {
            format: FORMAT,
            host,
            figures: merge(boots),
            causes,
            skips,
            peers: Vec::new(),
            listings: Vec::new(),
            boot: None,
        }
    }

    /// The figure that was measured as this one, but of another variant.
    pub fn beside(&self, key: &Key, variant: &str) -> Option<&Figure> {
        self.figures
            .iter()
            .find(|figure| figure.key.variant == variant && figure.key.is_beside(key))
    }

    /// The peers that took part.
    pub fn present(&self) -> impl Iterator<Item = &Peer> {
        self.peers.iter().filter(|peer| !peer.figures.is_empty())
    }

    /// What a peer has beside this figure, and the figure as a part of it: `4313 (x0.30)`. Of
    /// several tests it is the first, which comes nearest; empty if there is none.
    pub fn of_peer(&self, peer: &Peer, figure: &Figure) -> String {
        let beside = |other: &&PeerFigure| {
            let ours = other.ours(self);
            ours.is_some_and(|ours| ours.key == figure.key && ours.unit == other.unit)
        };
        let Some(other) = peer.figures().find(beside) else {
            return String::new();
        };
        let ratio = float(figure.summary.p50) / other.value;
        format!("{:.0} (x{ratio:.2})", other.value)
    }

    /// How many times the floor's median a figure's is, round by round: a round is a boot, which has a
    /// speed of its own.
    pub fn to_floor_by_round(&self, figure: &Figure) -> Option<Vec<f64>> {
        let floor = self.beside(&figure.key, "floor")?;
        let is_base = floor.rounds.len() == figure.rounds.len()
            && floor.rounds.iter().all(|round| round.p50 > 0);
        let ratio = |(own, floor): (&Summary, &Summary)| float(own.p50) / float(floor.p50);
        let rounds = figure.rounds.iter().zip(&floor.rounds);
        (is_base && figure.key.variant != "floor").then(|| rounds.map(ratio).collect())
    }

    /// The median of these ratios.
    pub fn to_floor(&self, figure: &Figure) -> Option<f64> {
        lesser_median(self.to_floor_by_round(figure)?, f64::total_cmp)
    }

    /// Reads what `make bench` wrote.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is of another kind or version.
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

/// A number of ticks for arithmetic: none is anywhere near 2^53.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub fn float(value: u64) -> f64 {
    value as f64
}

/// The middle value by an order; of two in the middle, the lesser.
pub fn lesser_median<T: Copy>(mut values: Vec<T>, order: fn(&T, &T) -> Ordering) -> Option<T> {
    values.sort_unstable_by(order);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    lesser_median(values.collect(), u64::cmp).unwrap_or_default()
}

/// A figure of several rounds.
fn summary(rounds: &[Summary]) -> Summary {
    let of = |value: fn(&Summary) -> u64| median(rounds.iter().map(value));
    Summary {
        min: rounds
            .iter()
            .map(|round| round.min)
            .min()
            .unwrap_or_default(),
        p50: of(|round| round.p50),
        p90: of(|round| round.p90),
        p99: of(|round| round.p99),
        p99_9: of(|round| round.p99_9),
        max: rounds
            .iter()
            .map(|round| round.max)
            .max()
            .unwrap_or_default(),
    }
}

fn merge(boots: &[Boot]) -> Vec<Figure> {
    let mut order = Vec::new();
    let mut found: BTreeMap<Key, Vec<&crate::record::Figure>> = BTreeMap::new();
    for boot in boots {
        for figure in &boot.figures {
            let key = Key {
                clock: boot.run.clock,
                name: figure.name.clone(),
                param: figure.param.clone(),
                apic: boot.run.apic.clone(),
                cpus: boot.run.cpus,
                variant: figure.variant.clone(),
            };
            let rounds = found.entry(key.clone()).or_default();
            if rounds.is_empty() {
                order.push(key);
            }
            rounds.push(figure);
        }
    }
    let figures = order.into_iter().map(|key| {
        let records = &found[&key];
        let rounds: Vec<_> = records.iter().map(|record| record.summary).collect();
        let mut histogram: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        for &(first, last, count) in records.iter().flat_map(|record| &record.histogram) {
            *histogram.entry((first, last)).or_default() += count;
        }
        let buckets = histogram.into_iter();
        Figure {
            key,
            unit: records[0].unit.clone(),
            overhead: median(records.iter().map(|record| record.overhead)),
            samples: records.iter().map(|record| record.samples).sum(),
            summary: summary(&rounds),
            rounds,
            histogram: buckets
                .map(|((first, last), count)| (first, last, count))
                .collect(),
        }
    });
    figures.collect()
}

/// The causes of each load run, of the round whose total is the median one.
fn causes(boots: &[Boot]) -> Vec<Causes> {
    let mut found: Vec<Vec<Causes>> = Vec::new();
    for boot in boots {
        for cause in &boot.causes {
            let causes = Causes {
                clock: boot.run.clock,
                apic: boot.run.apic.clone(),
                cpus: boot.run.cpus,
                cause: cause.clone(),
            };
            let same = |rounds: &&mut Vec<Causes>| {
                let Causes {
                    clock,
                    apic,
                    cpus,
                    cause,
                } = &rounds[0];
                (*clock, apic, *cpus) == (causes.clock, &causes.apic, causes.cpus)
                    && (&cause.name, &cause.param) == (&causes.cause.name, &causes.cause.param)
            };
            match found.iter_mut().find(same) {
                Some(rounds) => rounds.push(causes),
                None => found.push(vec![causes]),
            }
        }
    }
    let middle = found.into_iter().map(|mut rounds| {
        rounds.sort_by_key(|round| round.cause.total.p50);
        let at = (rounds.len() - 1) / 2;
        rounds.swap_remove(at)
    });
    middle.collect()
}

fn skips(boots: &[Boot]) -> Vec<Skip> {
    let skips = boots.iter().flat_map(|boot| &boot.skips).cloned();
    let mut skips: Vec<_> = skips.collect();
    skips.sort();
    skips.dedup();
    skips
}
