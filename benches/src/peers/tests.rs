//! Tests of `peers`.

use super::*;
use crate::fixtures;

fn figure(beside: &str, param: Option<(&str, &str)>) -> PeerFigure {
    PeerFigure {
        test: "t".to_owned(),
        clock: Clock::Instructions,
        cpus: 4,
        statistic: "median".to_owned(),
        unit: "cycles".to_owned(),
        what: String::new(),
        beside: beside.to_owned(),
        param: param.map(|(name, value)| (name.to_owned(), value.to_owned())),
        value: 96.0,
        rounds: vec![96.0],
    }
}

#[test]
fn ours_is_found_by_name_parameter_and_machine() {
    let results = fixtures::results();
    let polling = figure("ipi.one_way", Some(("target", "polling")));
    assert_eq!(polling.ours(&results).unwrap().summary.p50, 48);
    assert!((polling.ratio(&results).unwrap() - 0.5).abs() < 1e-9);
    let halted = figure("ipi.one_way", Some(("target", "halted")));
    assert_eq!(halted.ours(&results).unwrap().summary.p50, 192);
    let other = PeerFigure { cpus: 8, ..halted };
    assert!(other.ours(&results).is_none());
    assert!(figure("no.such", None).ours(&results).is_none());
}
