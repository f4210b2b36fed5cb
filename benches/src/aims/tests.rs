//! Tests of `aims`.

use super::*;
use crate::fixtures;

fn find<'a>(aims: &'a [Aim], what: &str) -> &'a Aim {
    aims.iter()
        .find(|aim| aim.what.contains(what))
        .unwrap_or_else(|| panic!("no {what}"))
}

#[test]
fn every_aim_finds_its_metric() {
    let aims = of(&fixtures::results());
    for (name, _, limit) in COUNTED {
        let aim = find(&aims, name);
        assert!(
            (aim.limit - limit).abs() < 1e-9 && aim.is_reached(),
            "{aim:?}"
        );
    }
    let broadcast = find(&aims, "broadcast.all tocsin cpus=4");
    assert!((broadcast.limit - 135.0).abs() < 1e-9 && broadcast.is_reached());
    assert!(find(&aims, "broadcast.sender").is_reached());
    assert!(find(&aims, "nest.entry").is_reached());
    // The recorded kernel takes 58 instructions where the floor takes 20.
    let floor = aims
        .iter()
        .find(|aim| aim.unit == "times the floor's")
        .unwrap();
    assert!(!floor.is_reached(), "{floor:?}");
    assert_eq!(
        aims.iter()
            .filter(|aim| aim.what.contains("ceiling"))
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
    for aim in missed.iter().filter(|aim| aim.what.contains("ceiling")) {
        let of = match aim.metric.clock {
            Clock::Cycles => "p99 of contention.latency",
            Clock::Instructions => "worst of contention.latency",
        };
        assert!(aim.what.starts_with(of), "{aim:?}");
    }
    let missed: Vec<_> = missed
        .iter()
        .filter(|aim| aim.what.contains("ceiling") && !aim.is_reached())
        .collect();
    assert!(
        missed
            .iter()
            .any(|aim| aim.what.ends_with("in instructions")),
        "{missed:?}"
    );
}

#[test]
fn nothing_measured_is_nothing_judged() {
    let results = Results::new(fixtures::host(), &[]);
    assert_eq!(of(&results), []);
}
