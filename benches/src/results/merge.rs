//! Merges the rounds of a run, each of which is a boot.

use std::collections::BTreeMap;

use super::{Causes, Key, Metric, lesser_median};
use crate::record::{Boot, Part, Skip, Summary};

fn median(values: impl Iterator<Item = u64>) -> u64 {
    lesser_median(values.collect(), u64::cmp).unwrap_or_default()
}

/// A metric of several rounds.
pub(super) fn summary(rounds: &[Summary]) -> Summary {
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

pub fn metrics(boots: &[Boot]) -> Vec<Metric> {
    let mut order = Vec::new();
    let mut found: BTreeMap<Key, Vec<&crate::record::Metric>> = BTreeMap::new();
    for boot in boots {
        for metric in &boot.metrics {
            let key = Key {
                clock: boot.run.clock,
                name: metric.name.clone(),
                param: metric.param.clone(),
                apic: boot.run.apic.clone(),
                cpus: boot.run.cpus,
                variant: metric.variant.clone(),
            };
            let rounds = found.entry(key.clone()).or_default();
            if rounds.is_empty() {
                order.push(key);
            }
            rounds.push(metric);
        }
    }
    let metrics = order.into_iter().map(|key| {
        let records = &found[&key];
        let rounds: Vec<_> = records.iter().map(|record| record.summary).collect();
        let mut histogram: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        for &(first, last, count) in records.iter().flat_map(|record| &record.histogram) {
            *histogram.entry((first, last)).or_default() += count;
        }
        let buckets = histogram.into_iter();
        Metric {
            key,
            unit: records[0].unit.clone(),
            overhead: median(records.iter().map(|record| record.overhead)),
            samples: records.iter().map(|record| record.samples).sum(),
            below_zero: records.iter().map(|record| record.below_zero).sum(),
            summary: summary(&rounds),
            rounds,
            histogram: buckets
                .map(|((first, last), count)| (first, last, count))
                .collect(),
        }
    });
    metrics.collect()
}

/// Maximum number of slowest samples that are kept.
const WORST: usize = 5;

/// The causes of each load run.
pub fn causes(boots: &[Boot]) -> Vec<Causes> {
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
    found.into_iter().map(one).collect()
}

/// Merges the rounds of one load run; there is at least one.
fn one(mut rounds: Vec<Causes>) -> Causes {
    rounds.sort_by_key(|round| round.cause.total.p50);
    let mut middle = rounds[(rounds.len() - 1) / 2].clone();
    let cause = &mut middle.cause;
    cause.samples = rounds.iter().map(|round| round.cause.samples).sum();
    cause.below_zero = rounds.iter().map(|round| round.cause.below_zero).sum();
    cause.total = extremes(cause.total, rounds.iter().map(|round| &round.cause.total));
    for (name, part) in &mut cause.parts {
        let parts = rounds
            .iter()
            .filter_map(|round| round.cause.parts.get(name));
        *part = extremes(*part, parts);
    }
    let worst = rounds.iter().flat_map(|round| &round.cause.worst);
    cause.worst = worst.cloned().collect();
    let parts = &cause.parts;
    let total = |sample: &BTreeMap<String, u64>| -> u64 {
        parts.keys().filter_map(|part| sample.get(part)).sum()
    };
    cause
        .worst
        .sort_by_key(|sample| std::cmp::Reverse(total(sample)));
    cause.worst.truncate(WORST);
    middle
}

/// Merges a part of all rounds, with the minimum, the maximum and the sum over all.
fn extremes<'p>(middle: Part, all: impl Iterator<Item = &'p Part>) -> Part {
    let none = Part { sum: 0, ..middle };
    all.fold(none, |one, part| Part {
        min: one.min.min(part.min),
        max: one.max.max(part.max),
        sum: one.sum + part.sum,
        ..one
    })
}

pub fn skips(boots: &[Boot]) -> Vec<Skip> {
    let skips = boots.iter().flat_map(|boot| &boot.skips).cloned();
    let mut skips: Vec<_> = skips.collect();
    skips.sort();
    skips.dedup();
    skips
}
