//! Tests of the regression check.

use super::*;
use crate::fixtures;

fn changed(name: &str, change: impl Fn(&mut Metric)) -> Results {
    let mut results = fixtures::results();
    let metric = results
        .metrics
        .iter_mut()
        .find(|metric| metric.key.clock == Clock::Instructions && metric.key.name == name);
    change(metric.unwrap());
    results
}

#[test]
fn the_same_numbers_pass() {
    let results = fixtures::results();
    let baseline = Baseline::accept(&results, None);
    let verdict = baseline.judge(&results);
    assert!(!verdict.fails());
    assert_eq!((verdict.worse.len(), verdict.other.len()), (0, 0));
    let counted = results
        .metrics
        .iter()
        .filter(|metric| metric.key.clock == Clock::Instructions);
    assert_eq!(verdict.compared, counted.count());
    assert!(verdict.compared > 20);
}

#[test]
fn one_instruction_more_fails_and_is_named() {
    let baseline = Baseline::accept(&fixtures::results(), None);
    for value in [
        |metric: &mut Metric| metric.summary.min += 1,
        |metric: &mut Metric| metric.summary.p50 += 1,
        |metric: &mut Metric| metric.summary.p99 += 1,
        |metric: &mut Metric| metric.summary.max += 1,
    ] {
        let verdict = baseline.judge(&changed("self_ipi.entry", value));
        assert!(verdict.fails());
        let shown = verdict.show();
        assert!(
            shown.contains("self_ipi.entry tocsin (x2apic, 4 CPUs)"),
            "{shown}"
        );
        assert!(shown.contains(" 23, now 24 instructions"), "{shown}");
        assert!(shown.contains("make bench-accept"), "{shown}");
    }
}

#[test]
fn one_instruction_less_is_noted_and_passes() {
    let baseline = Baseline::accept(&fixtures::results(), None);
    let verdict = baseline.judge(&changed("self_ipi.entry", |metric| metric.summary.p50 -= 1));
    assert!(!verdict.fails());
    assert_eq!(verdict.other.len(), 1);
}

#[test]
fn of_a_rate_less_is_worse() {
    let baseline = Baseline::accept(&fixtures::results(), None);
    let slower = changed("throughput.self_ipi", |metric| metric.summary.p50 -= 1);
    assert!(baseline.judge(&slower).fails());
    let faster = changed("throughput.self_ipi", |metric| metric.summary.p50 += 1);
    assert!(!baseline.judge(&faster).fails());
}

#[test]
fn what_is_allowed_passes_and_stays_allowed() {
    let results = fixtures::results();
    let mut baseline = Baseline::accept(&results, None);
    for accepted in &mut baseline.metrics {
        accepted.allow = 2;
    }
    let two = changed("self_ipi.entry", |metric| metric.summary.p50 += 2);
    assert!(!baseline.judge(&two).fails());
    let three = changed("self_ipi.entry", |metric| metric.summary.p50 += 3);
    assert!(baseline.judge(&three).fails());
    let again = Baseline::accept(&three, Some(&baseline));
    assert!(again.metrics.iter().all(|accepted| accepted.allow == 2));
    assert!(!again.judge(&three).fails());
}

#[test]
fn a_missing_metric_fails_and_a_new_one_does_not() {
    let all = fixtures::results();
    let mut fewer = all.clone();
    let at = fewer
        .metrics
        .iter()
        .position(|metric| metric.key.clock == Clock::Instructions);
    fewer.metrics.remove(at.unwrap());
    assert!(Baseline::accept(&all, None).judge(&fewer).fails());
    let verdict = Baseline::accept(&fewer, None).judge(&all);
    assert!(!verdict.fails());
    assert_eq!(verdict.other.len(), 1);
}

#[test]
fn other_tools_are_noted_and_do_not_fail() {
    let mut baseline = Baseline::accept(&fixtures::results(), None);
    baseline.compiler = "rustc 1.96.0".to_owned();
    let verdict = baseline.judge(&changed("self_ipi.entry", |metric| metric.summary.p50 += 1));
    assert!(!verdict.fails());
    let shown = verdict.show();
    assert!(
        shown.contains("other tools than the baseline's: compiler"),
        "{shown}"
    );
    assert!(shown.contains("WORSE  self_ipi.entry"), "{shown}");
}

#[test]
fn accepting_some_keeps_the_others() {
    let only = vec!["self_ipi".to_owned()];
    let all = Baseline::accept(&fixtures::results(), None);
    let mut some = changed("self_ipi.entry", |metric| metric.summary.p50 += 1);
    some.metrics.retain(|it| is_selected(&it.key.name, &only));
    let accepted = Baseline::accept(&some, Some(&all));
    assert!(accepted.metrics.len() < all.metrics.len());
    let merged = accepted.clone().beside(all.clone(), &only).unwrap();
    assert_eq!(merged.metrics.len(), all.metrics.len());
    let differing = merged.metrics.iter().zip(&all.metrics);
    let differing: Vec<_> = differing.filter(|(new, old)| new != old).collect();
    assert_eq!(differing.len(), 1);
    assert_eq!(differing[0].0.name, "self_ipi.entry");

    let other = Baseline {
        compiler: "rustc 1.96.0".to_owned(),
        ..all
    };
    let why = accepted.beside(other, &only).unwrap_err();
    assert!(why.contains("rustc 1.96.0"), "{why}");
}

#[test]
fn another_profile_is_another_tool() {
    let baseline = Baseline::accept(&fixtures::results(), None);
    let mut dev = changed("self_ipi.entry", |metric| metric.summary.p50 += 1);
    dev.host.profile = "dev".to_owned();
    let verdict = baseline.judge(&dev);
    assert!(!verdict.fails());
    assert_eq!(
        verdict.unlike,
        ["profile \"dev\", accepted with \"release\""]
    );
    // Baselines without this field had the default.
    let json = baseline
        .to_json()
        .replace("  \"profile\": \"release\",\n", "");
    assert_eq!(serde_json::from_str::<Baseline>(&json).unwrap(), baseline);
}

#[test]
fn the_file_is_read_back_one_metric_a_line() {
    let baseline = Baseline::accept(&fixtures::results(), None);
    let json = baseline.to_json();
    assert_eq!(serde_json::from_str::<Baseline>(&json).unwrap(), baseline);
    assert_eq!(json.lines().count(), baseline.metrics.len() + 7);
}

#[test]
fn metrics_under_a_pseudo_random_load_are_not_compared() {
    let loaded = |load: &str| {
        changed("self_ipi.entry", |metric| {
            let load = crate::record::Value::Text(load.to_owned());
            metric.key.name = "wake.thread".to_owned();
            metric.key.param.insert("load".to_owned(), load);
        })
    };
    let is_accepted = |results: &Results| {
        let metrics = Baseline::accept(results, None).metrics;
        metrics.iter().any(|metric| metric.name == "wake.thread")
    };
    assert!(is_accepted(&loaded("idle")));
    assert!(!is_accepted(&loaded("interrupts")));
}
