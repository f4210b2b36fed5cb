//! All that was measured in one sitting: rounds merged into figures, and where it was measured.

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
    /// How many of them the overhead would have made less than 0.
    #[serde(default)]
    pub below_zero: u64,
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

    /// What its samples tell, from the least to the greatest: percentiles are of a round.
    pub fn told(&self) -> [Option<u64>; 6] {
        let rounds = u64::try_from(self.rounds.len()).unwrap_or(1).max(1);
        self.summary.told(self.samples / rounds)
    }

    /// How many samples were below 0; empty for none.
    pub fn told_below_zero(&self) -> String {
        match self.below_zero {
            0 => String::new(),
            count => count.to_string(),
        }
    }

    /// The least and the greatest of the rounds' medians, where there are several.
    pub fn spread(&self) -> Option<(u64, u64)> {
        let medians = || self.rounds.iter().map(|round| round.p50);
        (self.rounds.len() > 1).then_some((medians().min()?, medians().max()?))
    }
}

/// Where the time of a load run went: in the round whose total is the median one; the least, the
/// greatest and the slowest samples are of all rounds.
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
    /// What was booted; older files have none.
    #[serde(default)]
    pub machines: Vec<Machines>,
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
        Self {
            format: FORMAT,
            host,
            machines: machines::of(boots),
            figures: merge::figures(boots),
            causes: merge::causes(boots),
            skips: merge::skips(boots),
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
