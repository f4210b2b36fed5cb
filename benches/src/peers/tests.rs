//! Tests of `peers`.

use super::*;
use crate::fixtures;

fn metric(beside: &str, param: Option<(&str, &str)>) -> PeerMetric {
    PeerMetric {
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
        p99: None,
        max: None,
        rejected: None,
        other_load: false,
    }
}

#[test]
fn ours_is_found_by_name_parameter_and_machine() {
    let results = fixtures::results();
    let polling = metric("ipi.one_way", Some(("target", "polling")));
    assert_eq!(polling.ours(&results).unwrap().summary.p50, 48);
    assert!((polling.ratio(&results).unwrap() - 0.5).abs() < 1e-9);
    let halted = metric("ipi.one_way", Some(("target", "halted")));
    assert_eq!(halted.ours(&results).unwrap().summary.p50, 192);
    let other = PeerMetric { cpus: 8, ..halted };
    assert!(other.ours(&results).is_none());
    assert!(metric("no.such", None).ours(&results).is_none());
}

#[test]
fn a_rejected_value_has_no_ratio_and_is_shown_with_its_reason() {
    let rejected = PeerMetric {
        rejected: Some("most samples include waiting".to_owned()),
        ..metric("ipi.one_way", Some(("target", "polling")))
    };
    let mut results = fixtures::results();
    assert!(rejected.ours(&results).is_some());
    assert_eq!(rejected.ratio(&results), None);
    let ours = rejected.ours(&results).unwrap().clone();
    let mut peer = fixtures::peers().remove(0);
    peer.metrics = vec![PeerMetric {
        unit: ours.unit.clone(),
        ..rejected
    }];
    assert_eq!(results.of_peer(&peer, &ours), "96 (rejected)");
    results.peers = vec![peer];
    let shown = crate::table::peers(&results);
    let reason = "rejected: most samples include waiting";
    assert!(shown.contains(reason) && !shown.contains("x0."), "{shown}");
    assert!(crate::csv_file::of(&results).contains("most samples include waiting"));
    assert!(crate::report::of(&results).unwrap().contains(reason));
}

#[test]
fn a_value_under_a_load_of_the_peer_has_no_ratio() {
    let results = fixtures::results();
    let mut peer = fixtures::peers().remove(0);
    let mut loaded = metric("ipi.one_way", Some(("target", "polling")));
    let ours = loaded.ours(&results).unwrap().clone();
    (loaded.other_load, loaded.unit) = (true, ours.unit.clone());
    assert_eq!(loaded.ratio(&results), None);
    peer.metrics = vec![loaded];
    assert_eq!(results.of_peer(&peer, &ours), "96 (other load)");
    let meaning = Meaning {
        steady: false,
        ..STEADY
    };
    let merged = |meaning| super::metric(meaning, Clock::Cycles, 4, &[&round(300.0, 290.0)]);
    assert!(merged(&meaning).unwrap().other_load);
    assert!(!merged(&STEADY).unwrap().other_load);
}

/// A meaning whose samples all execute the same code.
const STEADY: Meaning = Meaning {
    test: "t",
    beside: "ipi.one_way",
    param: None,
    statistic: "median",
    unit: None,
    steady: true,
    what: "",
};

fn round(value: f64, min: f64) -> Measured {
    Measured {
        test: "t".to_owned(),
        value,
        spread: Some(value::Spread {
            samples: 100,
            min,
            p99: value + 10.0,
            max: value + 100.0,
        }),
    }
}

#[test]
fn rounds_are_merged_and_one_implausible_round_rejects_the_value() {
    let good = [
        round(300.0, 290.0),
        round(310.0, 300.0),
        round(320.0, 310.0),
    ];
    let merge = |rounds: &[Measured]| {
        let rounds: Vec<_> = rounds.iter().collect();
        super::metric(&STEADY, Clock::Instructions, 4, &rounds).unwrap()
    };
    let merged = merge(&good);
    assert_eq!(merged.rounds, [300.0, 310.0, 320.0]);
    let tail = (merged.value, merged.p99, merged.max);
    assert_eq!(tail, (310.0, Some(320.0), Some(420.0)));
    assert_eq!(merged.rejected, None);
    let [first, second, _] = good;
    let rejected = merge(&[first, second, round(900.0, 100.0)]).rejected;
    assert!(rejected.unwrap().contains("the minimum is 100"));
    assert!(super::metric(&STEADY, Clock::Instructions, 4, &[]).is_none());
}

#[test]
fn versions_of_a_peer_are_this_peer() {
    let mut peer = fixtures::peers().remove(1);
    for (name, is) in [
        ("Linux", true),
        ("Linux 6.12 rt", true),
        ("Linuxulator", false),
    ] {
        name.clone_into(&mut peer.name);
        assert_eq!(peer.is("Linux"), is, "{name}");
    }
}
