//! Tests of `targets`.

use super::*;
use crate::fixtures;

fn find<'a>(targets: &'a [Target], what: &str) -> &'a Target {
    targets
        .iter()
        .find(|target| target.what.contains(what))
        .unwrap_or_else(|| panic!("no {what}"))
}

#[test]
fn every_target_has_its_metric() {
    let targets = of(&fixtures::results());
    for (name, _, limit) in COUNTED {
        let target = find(&targets, name);
        assert!(
            (target.limit - limit).abs() < 1e-9 && target.is_met(),
            "{target:?}"
        );
    }
    let broadcast = find(&targets, "broadcast.all tocsin cpus=4");
    assert!((broadcast.limit - 135.0).abs() < 1e-9 && broadcast.is_met());
    assert!(find(&targets, "broadcast.sender").is_met());
    assert!(find(&targets, "nest.entry").is_met());
    // The recorded kernel takes 58 instructions where the floor takes 20.
    let floor = targets
        .iter()
        .find(|target| target.unit == "times the floor's")
        .unwrap();
    assert!(!floor.is_met(), "{floor:?}");
    assert_eq!(
        targets
            .iter()
            .filter(|target| target.what.contains("ceiling"))
            .count(),
        10
    );
}

#[test]
fn a_ceiling_that_rises_is_missed() {
    let mut results = fixtures::results();
    let metric = results
        .metrics
        .iter_mut()
        .find(|metric| metric.key.clock == Clock::Instructions && metric.key.variant == "ceiling");
    metric.unwrap().summary.max += 1;
    let missed = of(&results);
    for target in missed
        .iter()
        .filter(|target| target.what.contains("ceiling"))
    {
        let of = match target.metric.clock {
            Clock::Cycles => "p99 of contention.latency",
            Clock::Instructions => "worst of contention.latency",
        };
        assert!(target.what.starts_with(of), "{target:?}");
    }
    let missed: Vec<_> = missed
        .iter()
        .filter(|target| target.what.contains("ceiling") && !target.is_met())
        .collect();
    assert!(
        missed
            .iter()
            .any(|target| target.what.ends_with("in instructions")),
        "{missed:?}"
    );
}

#[test]
fn no_metric_means_no_target() {
    let results = Results::new(fixtures::host(), &[]);
    assert_eq!(of(&results), []);
}
