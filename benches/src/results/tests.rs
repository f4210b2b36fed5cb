//! Tests of `results`.

use std::collections::BTreeMap;

use super::*;
use crate::fixtures;

#[test]
fn rounds_are_merged_by_their_medians() {
    let rounds = [(1, 10, 100), (3, 30, 50), (2, 20, 900)].map(|(min, p50, max)| Summary {
        min,
        p50,
        max,
        ..Summary::default()
    });
    let merged = merge::summary(&rounds);
    assert_eq!((merged.min, merged.p50, merged.max), (1, 20, 900));
    assert_eq!(lesser_median(vec![4, 2], u64::cmp), Some(2));
}

#[test]
fn the_slowest_samples_are_of_all_rounds() {
    let mut boots = [fixtures::CYCLES, fixtures::CYCLES_2].map(|text| Boot::parse(text).unwrap());
    let totals = |cause: &Cause| -> Vec<u64> {
        let samples = cause.worst.iter();
        let parts = |sample: &BTreeMap<String, u64>| cause.parts.keys().map(|it| sample[it]).sum();
        samples.map(parts).collect()
    };
    // The median is the first of two.
    boots[1].causes[0].total.p50 = boots[0].causes[0].total.p50 + 1;
    let most = boots[0].causes[0].total.max + 7;
    boots[1].causes[0].total.max = most;
    boots[1].causes[0].worst[0].insert("hardware".to_owned(), most);
    let merged = &Results::new(fixtures::host(), &boots).causes[0].cause;
    assert_eq!(merged.total.p50, boots[0].causes[0].total.p50);
    assert_eq!(merged.total.max, most);
    let sums = boots.iter().map(|boot| boot.causes[0].total.sum);
    assert_eq!(merged.total.sum, sums.sum::<u64>());
    let all = boots.iter().flat_map(|boot| totals(&boot.causes[0]));
    let mut all: Vec<_> = all.collect();
    all.sort_unstable_by(|left, right| right.cmp(left));
    all.truncate(5);
    assert_eq!(totals(merged), all);
    assert!(all[0] >= most, "{all:?}");
}

#[test]
fn few_samples_have_no_percentiles() {
    let summary = Summary {
        min: 1,
        p50: 2,
        p90: 3,
        p99: 4,
        p99_9: 5,
        max: 6,
    };
    let all = summary.values().map(Some);
    assert_eq!(summary.supported(1000), all);
    assert_eq!(summary.supported(999)[4], None);
    assert_eq!(summary.supported(100)[3..], [Some(4), None, Some(6)]);
    assert_eq!(summary.supported(99)[2..], [Some(3), None, None, Some(6)]);
    assert_eq!(summary.supported(1)[..3], [Some(1), Some(2), None]);
    let alike = Summary { min: 6, ..summary };
    assert_eq!(alike.supported(50), alike.values().map(Some));
}

#[test]
fn samples_are_those_of_a_round() {
    let mut metric = fixtures::results().metrics[0].clone();
    assert_eq!((metric.rounds.len(), metric.samples), (2, 2000));
    assert_eq!(metric.supported(), metric.summary.values().map(Some));
    metric.samples = 1998;
    assert_eq!(metric.supported()[4], None);
    metric.rounds[1].p50 = metric.rounds[0].p50 + 3;
    let first = metric.rounds[0].p50;
    assert_eq!(metric.spread(), Some((first, first + 3)));
    metric.rounds.pop();
    assert_eq!(metric.spread(), None);
}

#[test]
fn a_run_separates_rounds_and_clocks() {
    let results = fixtures::results();
    let of = |clock| {
        let found = results.metrics.iter().find(|metric| {
            let key = &metric.key;
            (key.clock, key.name.as_str(), key.variant.as_str())
                == (clock, "self_ipi.entry", "tocsin")
        });
        found.unwrap()
    };
    let (cycles, instructions) = (of(Clock::Cycles), of(Clock::Instructions));
    assert_eq!((cycles.rounds.len(), cycles.samples), (2, 2000));
    let counted: u64 = cycles.histogram.iter().map(|bucket| bucket.2).sum();
    assert_eq!(counted, 2000);
    assert_eq!(
        cycles.summary.min,
        cycles.rounds.iter().map(|round| round.min).min().unwrap()
    );
    assert_eq!(
        (instructions.rounds.len(), instructions.summary.p50),
        (1, 23)
    );
    let ratio = results.to_floor(instructions).unwrap();
    assert!((ratio - 23.0 / 3.0).abs() < 1e-9);
    assert_eq!((results.causes.len(), results.skips.len()), (2, 1));
}

#[test]
fn machines_and_their_counters_are_kept() {
    let texts = [fixtures::CYCLES, fixtures::CYCLES_2, fixtures::INSTRUCTIONS];
    let mut boots = texts.map(|text| Boot::parse(text).unwrap());
    boots[0].run.tsc_hz = 2_594_700_000;
    boots[1].run.tsc_hz = 2_601_000_000;
    boots[1].run.resolution = 26;
    for boot in &mut boots {
        boot.command = format!("qemu -icount {}", boot.run.clock);
    }
    let results = Results::new(fixtures::host(), &boots);
    let machines = &results.machines;
    assert_eq!(machines.len(), 2);
    assert_eq!(machines[0].tsc_hz, [2_594_700_000, 2_601_000_000]);
    assert_eq!(machines[1].command, "qemu -icount instructions");
    let frequency = machines::frequency(machines).unwrap();
    assert_eq!(
        frequency,
        "2595 to 2601 MHz, 0.385 ns a tick, in steps of 26 ticks"
    );
    assert_eq!(machines::frequency(&machines[1..]), None);
    boots[1].command += " -cpu qemu64";
    assert_eq!(Results::new(fixtures::host(), &boots).machines.len(), 3);
}

#[test]
fn older_results_are_read() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&fixtures::results().to_json()).unwrap();
    let results = json.as_object_mut().unwrap();
    results.remove("machines");
    let host = results["host"].as_object_mut().unwrap();
    for since in ["cpu", "qemu_args", "append", "system", "profile"] {
        assert!(host.remove(since).is_some(), "{since}");
    }
    std::fs::write(&file, json.to_string()).unwrap();
    let older = Results::load(file.path()).unwrap();
    assert_eq!(older.metrics, fixtures::results().metrics);
    assert!(older.machines.is_empty() && older.host.profile.is_empty());
}

#[test]
fn results_are_read_back_as_they_were_written() {
    let dir = std::env::temp_dir().join(format!("tocsin-results-{}", std::process::id()));
    let results = fixtures::results();
    std::fs::write(&dir, results.to_json()).unwrap();
    assert_eq!(Results::load(&dir).unwrap(), results);
    std::fs::write(&dir, "{\"format\":99}").unwrap();
    let why = Results::load(&dir).unwrap_err().to_string();
    assert!(why.contains("its format is 99"), "{why}");
    std::fs::write(&dir, "no").unwrap();
    assert!(
        Results::load(&dir)
            .unwrap_err()
            .to_string()
            .contains("no JSON")
    );
    std::fs::remove_file(&dir).unwrap();
}
