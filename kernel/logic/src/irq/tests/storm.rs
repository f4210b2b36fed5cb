//! Storms: detection, pauses, and clearing of the history.

use crate::irq::storm::{Cause, Change, Counts, Detector, Policy};
use proptest::prelude::*;
use std::string::ToString;

const POLICY: Policy = Policy {
    window: 1000,
    unclaimed: 10,
    total: 100,
    first_pause: 500,
    longest_pause: 3000,
    probation: 2000,
};

const fn counts(claimed: u64, unclaimed: u64) -> Counts {
    Counts { claimed, unclaimed }
}

/// A detector that has seen the counters at time 0.
fn watching(before: Counts) -> Detector {
    let mut detector = Detector::new(POLICY);
    assert_eq!(detector.observe(0, before), None);
    detector
}

/// Every number of interrupts up to beyond both limits, within one window and over three.
#[test]
fn thresholds_of_a_storm() {
    for claimed in 0..=320_u64 {
        for unclaimed in 0..=40_u64 {
            for (within, windows) in [(1, 1), (999, 1), (1000, 1), (3000, 3)] {
                let storm = watching(counts(0, 0)).observe(within, counts(claimed, unclaimed));
                let is_unclaimed = unclaimed >= 10 * windows && unclaimed >= 9 * claimed;
                let expected = if is_unclaimed {
                    Some(Cause::Unclaimed)
                } else {
                    (claimed + unclaimed >= 100 * windows).then_some(Cause::TooMany)
                };
                assert_eq!(storm.map(|it| it.cause), expected);
                if let Some(storm) = storm {
                    assert_eq!(storm.seen, counts(claimed, unclaimed));
                    assert_eq!((storm.within, storm.pause, storm.number), (within, 500, 1));
                }
            }
        }
    }
}

#[test]
fn a_window_without_a_storm_is_forgotten() {
    let mut detector = watching(counts(0, 0));
    for window in 1..20 {
        // Just too few in each window.
        assert_eq!(detector.observe(window * 1000, counts(0, window * 9)), None);
    }
    // Within one window, they add up.
    assert_eq!(detector.observe(19_500, counts(0, 19 * 9 + 9)), None);
    assert!(detector.observe(19_600, counts(0, 19 * 9 + 10)).is_some());
}

#[test]
fn counters_that_wrap() {
    let mut detector = watching(counts(u64::MAX, u64::MAX - 4));
    let storm = detector.observe(1, counts(0, 5)).expect("ten unclaimed");
    assert_eq!(storm.seen, counts(1, 10));
}

#[test]
fn pauses_double_up_to_the_longest_and_start_again_after_recovery() {
    let mut detector = Detector::new(POLICY);
    let mut now = 0;
    for (number, pause) in [500, 1000, 2000, 3000, 3000].into_iter().enumerate() {
        assert_eq!(detector.observe(now, counts(0, 0)), None);
        let storm = detector.observe(now + 1, counts(0, 10)).expect("a storm");
        assert_eq!((storm.pause, storm.number), (pause, number as u32 + 1));
        assert!(detector.is_masked());
        // Late interrupts are no storm.
        assert_eq!(detector.observe(now + 2, counts(0, 1000)), None);
        let until = now + 1 + pause;
        assert_eq!(detector.next_event(), Some(until));
        assert_eq!(detector.poll(until - 1), None);
        assert_eq!(detector.poll(until), Some(Change::Unmask));
        assert!(!detector.is_masked());
        now = until;
    }
    assert_eq!(detector.next_event(), Some(now + 2000));
    assert_eq!(detector.poll(now + 1999), None);
    assert_eq!(detector.poll(now + 2000), Some(Change::Recovered));
    assert_eq!(detector.next_event(), None);
    assert_eq!(detector.poll(u64::MAX), None);
    assert_eq!(detector.observe(now + 2000, counts(0, 0)), None);
    let storm = detector
        .observe(now + 2001, counts(0, 10))
        .expect("a storm");
    assert_eq!((storm.pause, storm.number), (500, 1));
}

#[test]
fn storm_texts() {
    let storm = watching(counts(0, 0))
        .observe(1000, counts(1, 19))
        .expect("a storm");
    assert_eq!(
        storm.to_string(),
        "20 interrupts in 1 us, 19 of them unclaimed; masked for 500 ns"
    );
    let storm = watching(counts(0, 0))
        .observe(1000, counts(100, 0))
        .expect("a storm");
    assert_eq!(
        storm.to_string(),
        "100 interrupts in 1 us; masked for 500 ns"
    );
}

proptest! {
    /// With any clock and any counters: a line is never masked forever, and never twice at once.
    #[test]
    fn a_masked_line_is_always_unmasked_again(
        events in prop::collection::vec((0..2000_u64, 0..60_u64, 0..60_u64), 0..100),
    ) {
        let mut detector = Detector::new(POLICY);
        let (mut now, mut seen) = (0, counts(0, 0));
        for (later, claimed, unclaimed) in events {
            now += later;
            let was_masked = detector.is_masked();
            seen = counts(seen.claimed + claimed, seen.unclaimed + unclaimed);
            let storm = detector.observe(now, seen);
            prop_assert!(storm.is_none() || !was_masked);
            prop_assert_eq!(detector.is_masked(), was_masked || storm.is_some());
            if let Some(storm) = storm {
                prop_assert!((500..=3000).contains(&storm.pause));
                prop_assert_eq!(detector.next_event(), Some(now + storm.pause));
            }
            let due = detector.next_event().is_some_and(|at| at <= now);
            prop_assert_eq!(detector.poll(now).is_some(), due);
        }
        let end = now + 3000;
        while detector.poll(end + 2000).is_some() {}
        prop_assert!(!detector.is_masked());
    }
}
