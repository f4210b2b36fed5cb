//! Comparison of two runs, and the confidence of each difference.
//!
//! Instructions are exact: any difference is real. Cycles are compared by the medians of rounds,
//! not by single samples: samples of one boot share its translated code and the load of the host,
//! so ten thousand of them are not ten thousand independent observations; rounds, which alternate
//! with all others, nearly are. For two small groups of numbers with an unknown distribution, the
//! exact Mann-Whitney test applies, which assumes none. The difference itself is the Hodges-Lehmann
//! estimate, which belongs to that test.
//!
//! Each run has its own speed, which averaging over its rounds does not remove. If a floor was
//! measured in the same boots, the ratio to it is compared too: factors that slow both cancel.

mod ranks;
mod show;
#[cfg(test)]
mod tests;

use self::ranks::Ranks;
pub use self::ranks::max_confidence;
use crate::record::Clock;
use crate::results::{Metric, Results, float};

/// Minimum confidence for marking a difference.
pub const CONFIDENCE: f64 = 0.95;

/// The difference between two groups of numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shift {
    /// The difference of the second group from the first: the median of all pairwise differences,
    /// relative to the first group's median.
    pub change: f64,
    /// Confidence that they differ: 1 minus the two-sided p-value of the exact test.
    pub confidence: f64,
}

/// A metric in both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub label: String,
    pub clock: Clock,
    pub old: u64,
    pub new: u64,
    pub raw: Shift,
    /// Difference of the ratios to the floor, round by round.
    pub to_floor: Option<Shift>,
    /// In instructions, the values that changed although the median did not: `p99 36, now 37`.
    pub moved: Vec<String>,
    pub more_is_better: bool,
    /// Number of rounds in the old run and in the new one.
    pub rounds: (usize, usize),
    /// The maximum confidence for this number of rounds.
    pub max_confidence: f64,
    /// Probability that chance alone causes a mark.
    pub by_chance: f64,
}

impl Row {
    /// Whether the difference is significant.
    pub fn is_significant(&self) -> bool {
        self.judged().confidence >= CONFIDENCE
    }

    /// The difference that determines the mark.
    fn judged(&self) -> Shift {
        self.to_floor.unwrap_or(self.raw)
    }

    /// Whether the change of the median is a regression; `None` if it did not change.
    pub fn is_worse(&self) -> Option<bool> {
        let change = self.judged().change;
        (change != 0.0).then_some((change > 0.0) != self.more_is_better)
    }
}

/// A comparison of runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    pub rows: Vec<Row>,
    /// Metrics that only the old run has.
    pub gone: Vec<String>,
    /// Metrics that only the new run has.
    pub added: Vec<String>,
    /// Differences between the environments of the two runs.
    pub differences: Vec<String>,
}

/// Compares the runs, metric by metric.
pub fn compare(old: &Results, new: &Results) -> Comparison {
    let find = |results: &Results, metric: &Metric| {
        results
            .metrics
            .iter()
            .position(|other| other.key == metric.key)
    };
    let mut comparison = Comparison {
        rows: Vec::new(),
        gone: Vec::new(),
        added: Vec::new(),
        differences: differences(old, new),
    };
    for metric in &new.metrics {
        match find(old, metric) {
            Some(at) => comparison
                .rows
                .push(row(old, &old.metrics[at], new, metric)),
            None => comparison.added.push(metric.key.describe()),
        }
    }
    let gone = old.metrics.iter().filter(|it| find(new, it).is_none());
    comparison.gone = gone.map(|metric| metric.key.describe()).collect();
    comparison
}

fn differences(old: &Results, new: &Results) -> Vec<String> {
    let (old, new) = (&old.host, &new.host);
    let pairs = [
        ("machine", &old.machine, &new.machine),
        ("CPU model", &old.cpu, &new.cpu),
        ("QEMU's arguments", &old.qemu_args, &new.qemu_args),
        ("kernel's command line", &old.append, &new.append),
        ("processor", &old.processor, &new.processor),
        ("host's kernel", &old.system, &new.system),
        ("QEMU", &old.qemu, &new.qemu),
        ("compiler", &old.compiler, &new.compiler),
        ("profile", &old.profile, &new.profile),
    ];
    // Older files lack the profile, and the fields added since then.
    let is_older = old.profile.is_empty();
    let differences = pairs.into_iter().filter(|(_, old, new)| old != new);
    differences
        .map(|(what, old, new)| match old.as_str() {
            "" if is_older => format!("{what}: not recorded, now {new:?}"),
            old => format!("{what}: {old:?}, now {new:?}"),
        })
        .collect()
}

fn row(old_results: &Results, old: &Metric, new_results: &Results, new: &Metric) -> Row {
    let medians = |metric: &Metric| -> Vec<f64> {
        metric.rounds.iter().map(|round| float(round.p50)).collect()
    };
    let (before, after) = (medians(old), medians(new));
    let is_exact = new.key.clock == Clock::Instructions;
    let moved = moved(old, new);
    let change = relative(float(old.summary.p50), float(new.summary.p50));
    let exact = Shift {
        change,
        confidence: if old.summary == new.summary { 0.0 } else { 1.0 },
    };
    let ratios = [(old_results, old), (new_results, new)]
        .map(|(results, metric)| results.to_floor_by_round(metric));
    let to_floor = match ratios {
        [Some(before), Some(after)] if !is_exact => Some((before, after)),
        _ => None,
    };
    let raw = (before, after);
    let (first, second) = to_floor.as_ref().unwrap_or(&raw);
    let by_chance = Ranks::of(first, second).rate(1.0 - CONFIDENCE);
    Row {
        label: new.key.describe(),
        clock: new.key.clock,
        old: old.summary.p50,
        new: new.summary.p50,
        raw: if is_exact {
            exact
        } else {
            shift(&raw.0, &raw.1)
        },
        to_floor: to_floor
            .as_ref()
            .map(|(before, after)| shift(before, after)),
        moved: if is_exact && change == 0.0 {
            moved
        } else {
            Vec::new()
        },
        more_is_better: new.more_is_better(),
        rounds: (old.rounds.len(), new.rounds.len()),
        max_confidence: max_confidence(first.len(), second.len()),
        by_chance,
    }
}

/// The values of a metric that differ.
fn moved(old: &Metric, new: &Metric) -> Vec<String> {
    let names = ["min", "median", "p90", "p99", "p99.9", "max"];
    let values = old.summary.values().into_iter().zip(new.summary.values());
    let moved = names.into_iter().zip(values);
    moved
        .filter(|(_, (old, new))| old != new)
        .map(|(name, (old, new))| format!("{name} {old}, now {new}"))
        .collect()
}

fn relative(old: f64, new: f64) -> f64 {
    match old {
        0.0 if new == 0.0 => 0.0,
        0.0 => f64::INFINITY,
        old => (new - old) / old,
    }
}

fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[n / 2],
        n => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// The difference of the second group from the first.
pub fn shift(before: &[f64], after: &[f64]) -> Shift {
    let pairs = after
        .iter()
        .flat_map(|new| before.iter().map(move |old| new - old));
    let base = middle(before.to_vec());
    let difference = middle(pairs.collect());
    Shift {
        change: relative(base, base + difference),
        confidence: 1.0 - Ranks::of(before, after).p(),
    }
}
