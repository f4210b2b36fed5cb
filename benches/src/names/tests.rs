//! Tests of `names`.

use super::*;
use crate::regression::{self, Baseline};

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn the_baselines_metrics_are_known_and_no_others() {
    let baseline = Baseline::load(&regression::path()).unwrap();
    for metric in &baseline.metrics {
        let name = metric.name.as_str();
        assert!(
            GROUPS.iter().any(|(_, metrics)| metrics.contains(&name)),
            "{name}"
        );
    }
    for name in GROUPS.iter().flat_map(|(_, metrics)| *metrics) {
        assert!(
            baseline.metrics.iter().any(|metric| metric.name == *name),
            "{name}"
        );
    }
}

#[test]
fn prefixes_and_groups_select() {
    let groups = |names: &[&str]| groups(&owned(names)).join(" ");
    assert_eq!(groups(&["self", "self_ipi.entry"]), "self_ipi");
    assert_eq!(groups(&["timer"]), "timer load");
    assert_eq!(groups(&["timer.j", "tlb"]), "load call");
    assert_eq!(groups(&["load"]), "load");
    assert_eq!(groups(&["ipi"]), "ipi");
    let is_selected = |metric: &str, name: &str| is_selected(metric, &owned(&[name]));
    assert!(is_selected("timer.jitter", "load") && is_selected("tlb.shootdown", "call"));
    assert!(is_selected("timer.jitter", "timer") && !is_selected("timer.queue", "load"));
    assert!(!is_selected("self_ipi.entry", "ipi") && !is_selected("call.wait", "tlb"));
}

#[test]
fn an_unknown_name_lists_the_known_ones() {
    let why = parse("BENCH", "ipi,slef").unwrap_err().to_string();
    assert!(
        why.starts_with("BENCH=ipi,slef: ") && why.contains("\"slef\""),
        "{why}"
    );
    for (group, metrics) in GROUPS {
        let line = why.lines().find(|line| line.trim().starts_with(group));
        let line = line.unwrap();
        assert!(metrics.iter().all(|metric| line.contains(metric)), "{line}");
    }
    let why = parse("BENCH", "a\"; poweroff").unwrap_err().to_string();
    assert!(why.starts_with("BENCH=a\"; poweroff: "), "{why}");
}
