//! Tests of `results`.

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
    let merged = summary(&rounds);
    assert_eq!((merged.min, merged.p50, merged.max), (1, 20, 900));
    assert_eq!(median([4, 2].into_iter()), 2);
}

#[test]
fn a_sitting_keeps_rounds_and_clocks_apart() {
    let results = fixtures::results();
    let of = |clock| {
        let found = results.figures.iter().find(|figure| {
            let key = &figure.key;
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
