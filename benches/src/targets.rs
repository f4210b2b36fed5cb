//! Targets for the cost of the kernel's interrupts, compared with the measurements.

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::record::{Clock, Value};
use crate::results::{Key, Metric, Results, float};

/// A target with its measurement.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Target {
    /// The object of the target.
    pub what: String,
    /// The measured value, in the unit of the limit.
    pub measured: f64,
    /// The limit.
    pub limit: f64,
    /// Unit of both: instructions, or a ratio to another value.
    pub unit: String,
    /// The metric of the target.
    pub metric: Key,
}

impl Target {
    /// Whether the target is met.
    pub fn is_met(&self) -> bool {
        self.measured <= self.limit
    }
}

/// A parameter and its value to which a target applies; none for all.
type One = Option<(&'static str, &'static str)>;

/// The cost on the interrupted CPU.
const POLLING: (&str, &str) = ("target", "polling");

/// Limits of the median in instructions: name, a parameter's value, limit.
const COUNTED: &[(&str, One, f64)] = &[
    ("self_ipi.entry", None, 25.0),
    ("self_ipi.to_handler", None, 30.0),
    ("self_ipi.round_trip", None, 60.0),
    ("exception.int_n", None, 45.0),
    ("ipi.one_way", Some(POLLING), 50.0),
    ("call.wait", None, 120.0),
    ("timer.queue", Some(("load", "idle")), 80.0),
];

/// Limits in cycles relative to the floor: name, a parameter's value, limit.
const TO_FLOOR: &[(&str, One, f64)] = &[
    ("self_ipi.round_trip", None, 1.15),
    ("ipi.one_way", Some(POLLING), 1.2),
    ("call.wait", None, 1.5),
];

/// Limits in cycles relative to another kernel: peer, its test, limit.
const TO_PEER: &[(&str, &str, f64)] = &[
    ("kvm-unit-tests", "x2apic_self_ipi_sti_nop", 0.65),
    ("Linux", "irq_work", 0.6),
    ("Linux", "smp_call_function_single", 0.5),
    ("Linux", "bring_up", 0.1),
];

/// Instructions to reach N CPUs with all acknowledgements: for the first, and for each further one.
const BROADCAST: (f64, f64) = (60.0, 25.0);

/// Limit of the worst latency under a ceiling lock relative to that without a lock: in cycles, of
/// the 99th percentile.
const CEILING: f64 = 1.1;

/// All targets that can be checked with these results.
pub fn of(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    for &(name, param, limit) in COUNTED {
        let metrics = own(results, Clock::Instructions, name, param);
        targets.extend(metrics.map(|metric| counted(metric, limit)));
    }
    for metric in own(results, Clock::Instructions, "broadcast.all", None) {
        if let Some(Value::Number(cpus)) = metric.key.param.get("cpus") {
            let (first, other) = BROADCAST;
            targets.push(counted(
                metric,
                first + other * float(cpus.saturating_sub(1)),
            ));
        }
    }
    targets.extend(independent(
        results,
        "broadcast.sender",
        "does not grow with the CPUs",
    ));
    targets.extend(independent(
        results,
        "nest.entry",
        "a nested entry costs no more than the first",
    ));
    for &(name, param, limit) in TO_FLOOR {
        for metric in own(results, Clock::Cycles, name, param) {
            let times = results.to_floor(metric);
            targets.extend(times.map(|times| ratio(metric, times, limit, "the floor's")));
        }
    }
    targets.extend(ceilings(results));
    for &(peer, test, limit) in TO_PEER {
        let known = results.peers.iter().filter(|known| known.is(peer));
        for (known, theirs) in known.flat_map(|known| known.metrics().map(move |it| (known, it))) {
            if (theirs.test.as_str(), theirs.clock) != (test, Clock::Cycles) {
                continue;
            }
            let base = format!("{}'s {test}", known.name);
            let pair = theirs.ours(results).zip(theirs.ratio(results));
            targets.extend(pair.map(|(ours, times)| ratio(ours, times, limit, &base)));
        }
    }
    targets
}

/// The kernel's own metrics of this name, in x2APIC mode.
fn own<'r>(
    results: &'r Results,
    clock: Clock,
    name: &str,
    param: One,
) -> impl Iterator<Item = &'r Metric> {
    let name = name.to_owned();
    results.metrics.iter().filter(move |metric| {
        let key = &metric.key;
        (key.clock, key.apic.as_str()) == (clock, "x2apic")
            && (key.name == name && key.variant == "tocsin")
            && param.is_none_or(|param| has(key, param))
    })
}

fn has(key: &Key, (name, value): (&str, &str)) -> bool {
    // A metric without the parameter was measured in only one way.
    key.param
        .get(name)
        .is_none_or(|own| own.to_string() == value)
}

fn counted(metric: &Metric, limit: f64) -> Target {
    Target {
        what: metric.key.describe(),
        measured: float(metric.summary.p50),
        limit,
        unit: metric.unit.clone(),
        metric: metric.key.clone(),
    }
}

fn ratio(metric: &Metric, times: f64, limit: f64, of: &str) -> Target {
    Target {
        what: metric.key.describe(),
        measured: times,
        limit,
        unit: format!("times {of}"),
        metric: metric.key.clone(),
    }
}

/// Checks that a metric is the same for every value of its parameter: the maximum relative to the
/// first.
fn independent(results: &Results, name: &str, what: &str) -> Option<Target> {
    let metrics: Vec<_> = own(results, Clock::Instructions, name, None).collect();
    let most = metrics.iter().max_by_key(|metric| metric.summary.p50)?;
    Some(Target {
        what: format!("{name}: {what}"),
        measured: float(most.summary.p50),
        limit: float(metrics.first()?.summary.p50),
        unit: "instructions".to_owned(),
        metric: most.key.clone(),
    })
}

/// Checks that the curve of the ceiling lock is flat: for each section, its worst latency relative
/// to that without a lock; in cycles, the 99th percentiles.
fn ceilings(results: &Results) -> Vec<Target> {
    let ceilings = results.metrics.iter().filter(|metric| {
        metric.key.name == "contention.latency" && metric.key.variant == "ceiling"
    });
    let targets = ceilings.filter_map(|metric| {
        let none = results.beside(&metric.key, "none")?;
        let limit = match metric.key.clock {
            Clock::Cycles => CEILING,
            Clock::Instructions => 1.0,
        };
        // The maximum in cycles reflects the host: the 99th percentile does not.
        let (of, own, none) = match metric.key.clock {
            Clock::Cycles => ("p99", metric.summary.p99, none.summary.p99),
            Clock::Instructions => ("worst", metric.summary.max, none.summary.max),
        };
        Some(Target {
            what: format!("{of} of {} in {}", metric.key.describe(), metric.key.clock),
            measured: float(own) / float(none.max(1)),
            limit,
            unit: "times that with no lock".to_owned(),
            metric: metric.key.clone(),
        })
    });
    targets.collect()
}
