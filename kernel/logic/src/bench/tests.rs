//! Tests against `hdrhistogram`, an independent implementation.

use super::{
    Histogram, LatencyCause, MaskedPeriod, Split, Summary, correct, median, resolution, split,
};
use proptest::prelude::*;
use std::vec::Vec;

/// Values of all magnitudes, small and large ones equally often.
fn values() -> impl Strategy<Value = Vec<u64>> {
    let value = (0_u32..62, any::<u64>()).prop_map(|(shift, bits)| bits >> 1 >> shift);
    prop::collection::vec(value, 1..600)
}

fn summary(values: &[u64]) -> Summary {
    Summary::of(&mut values.to_vec()).unwrap()
}

proptest! {
    #[test]
    fn percentiles_are_those_of_hdrhistogram(values in prop::collection::vec(0_u64..90_000, 1..3000)) {
        // Five digits: exact up to 100,000.
        let mut reference = hdrhistogram::Histogram::<u64>::new_with_bounds(1, 100_000, 5).unwrap();
        for &value in &values {
            reference.record(value).unwrap();
        }
        let found = summary(&values);
        prop_assert_eq!(found.min, reference.min());
        prop_assert_eq!(found.p50, reference.value_at_quantile(0.5));
        prop_assert_eq!(found.p90, reference.value_at_quantile(0.9));
        prop_assert_eq!(found.p99, reference.value_at_quantile(0.99));
        prop_assert_eq!(found.p99_9, reference.value_at_quantile(0.999));
        prop_assert_eq!(found.max, reference.max());
    }

    #[test]
    fn buckets_count_what_hdrhistogram_counts(values in values()) {
        let mut histogram = Histogram::new();
        // Three digits, so that its buckets are much narrower than ours.
        let mut reference =
            hdrhistogram::Histogram::<u64>::new_with_bounds(1, u64::MAX >> 1, 3).unwrap();
        for &value in &values {
            histogram.record(value);
            reference.record(value).unwrap();
        }
        let mut counted = 0;
        let mut above: Option<u64> = None;
        for bucket in histogram.buckets() {
            prop_assert!(above.is_none_or(|above| above < bucket.first), "ascending");
            above = Some(bucket.last);
            prop_assert!(bucket.last - bucket.first <= bucket.first / 32, "narrow");
            let count = values.iter().filter(|&&it| (bucket.first..=bucket.last).contains(&it)).count();
            prop_assert_eq!(count, bucket.count as usize);
            counted += u64::from(bucket.count);
            // Each of our buckets consists of whole reference buckets, so the sums agree at each
            // end.
            let below = reference.count_between(0, bucket.last);
            prop_assert_eq!(below, counted);
        }
        prop_assert_eq!(counted, values.len() as u64);
    }

    #[test]
    fn what_is_corrected_is_less_by_the_overhead(values in values(), overhead in 0_u64..1000) {
        let mut corrected = values.clone();
        let below = correct(&mut corrected, overhead);
        for (before, after) in values.iter().zip(&corrected) {
            prop_assert_eq!(*after, before - overhead.min(*before));
        }
        prop_assert_eq!(below, values.iter().filter(|&&it| it < overhead).count());
    }

    #[test]
    fn the_step_of_a_counter_is_found(
        step in 1_u64..100,
        counts in prop::collection::vec(0_u64..6, 200..600),
        odd in prop::collection::vec(any::<u32>(), 0..20),
    ) {
        // Two adjacent values are common, and values off the grid are rare.
        let steps = counts.iter().map(|count| count * step).chain([2 * step; 100]).chain([3 * step; 100]);
        let mut samples: Vec<u64> = steps.chain(odd.into_iter().map(u64::from)).collect();
        prop_assert_eq!(resolution(&mut samples), Some(step));
    }
}

#[test]
fn differences_below_zero_are_counted() {
    // The second sample is from a counter that lags by 3.
    let mut samples = [10, 0_u64.wrapping_sub(3), 4, 5];
    assert_eq!(correct(&mut samples, 5), 2);
    assert_eq!(samples, [5, 0, 0, 0]);
}

#[test]
fn samples_that_are_alike_have_no_step() {
    assert_eq!(resolution(&mut []), None);
    assert_eq!(resolution(&mut [7; 300]), None);
    let mut rarely = [7; 300];
    rarely[..29].fill(8);
    assert_eq!(resolution(&mut rarely), None);
}

#[test]
fn every_value_has_one_bucket() {
    // Both ends of all buckets: each starts where the previous one ended.
    let mut histogram = Histogram::new();
    let mut next = 0_u64;
    let mut buckets = 0;
    loop {
        histogram.clear();
        histogram.record(next);
        let bucket = histogram.buckets().next().unwrap();
        assert_eq!((bucket.first, bucket.count), (next, 1));
        histogram.record(bucket.last);
        assert_eq!(histogram.buckets().next().unwrap().count, 2);
        buckets += 1;
        let Some(following) = bucket.last.checked_add(1) else {
            break;
        };
        next = following;
    }
    assert_eq!(buckets, 60 * 32);
}

#[test]
fn few_samples_have_percentiles_too() {
    assert_eq!(Summary::of(&mut []), None);
    let one = summary(&[7]);
    assert_eq!((one.min, one.p50, one.p99_9, one.max), (7, 7, 7, 7));
    let two = summary(&[9, 3]);
    assert_eq!((two.p50, two.p90), (3, 9));
}

/// A reference implementation that classifies each cycle separately.
fn slowly(deadline: u64, gate: u64, began: u64, periods: &[MaskedPeriod]) -> Split {
    let mut split = Split::default();
    for at in deadline..began {
        let is_masked = |cause| {
            periods
                .iter()
                .any(|it| it.cause == cause && it.begin <= at && at < it.end)
        };
        match (
            is_masked(LatencyCause::IfOff),
            is_masked(LatencyCause::Cr8),
            is_masked(LatencyCause::InService),
        ) {
            (true, ..) => split.if_off += 1,
            (_, true, _) => split.cr8 += 1,
            (.., true) => split.in_service += 1,
            _ if at < gate => split.hardware += 1,
            _ => split.dispatch += 1,
        }
    }
    split
}

proptest! {
    #[test]
    fn a_latency_is_split_without_remainder(
        deadline in 0_u64..300,
        gate in 0_u64..400,
        began in 0_u64..400,
        periods in prop::collection::vec((0_u8..3, 0_u64..400, 0_u64..90), 0..9),
    ) {
        let kinds = [LatencyCause::IfOff, LatencyCause::Cr8, LatencyCause::InService];
        let periods: Vec<MaskedPeriod> = periods
            .into_iter()
            .map(|(kind, begin, length)| MaskedPeriod {
                cause: kinds[usize::from(kind)],
                begin,
                end: begin + length,
            })
            .collect();
        let found = split(deadline, gate, began, &periods);
        prop_assert_eq!(found, slowly(deadline, gate, began, &periods));
        prop_assert_eq!(found.total(), began.saturating_sub(deadline));
    }
}

#[test]
fn the_median_of_none_is_0() {
    assert_eq!(median(&mut []), 0);
    assert_eq!(median(&mut [9, 1, 5]), 5);
    // The median is a measured value: the lower of the two in the middle.
    assert_eq!(median(&mut [9, 1, 7, 5]), 5);
}
