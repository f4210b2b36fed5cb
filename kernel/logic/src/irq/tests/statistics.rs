//! Durations, rates and maxima.

use crate::irq::statistics::{BUCKETS, Distribution, HighWater, Histogram, Longest, Sample};
use proptest::prelude::*;
use std::vec::Vec;

#[test]
fn every_bucket() {
    for bits in 0..BUCKETS as u32 {
        let last = u64::MAX.checked_shr(64 - bits).unwrap_or(0);
        let first = last / 2 + u64::from(bits > 0);
        for value in [first, last] {
            let histogram = Histogram::new();
            histogram.record(value);
            let seen = histogram.snapshot();
            assert!(seen.buckets().eq([(first, last, 1)]), "{value}");
            assert_eq!((seen.count(), seen.max()), (1, value));
            assert_eq!(
                (seen.mean(), seen.quantile(500)),
                (Some(value), Some(value))
            );
        }
    }
    let nothing = Histogram::new().snapshot();
    assert_eq!(nothing, Distribution::EMPTY);
    assert_eq!((nothing.mean(), nothing.quantile(500)), (None, None));
}

#[test]
fn the_largest_and_the_longest() {
    let most = HighWater::new();
    assert!(most.raise(5) && !most.raise(5) && !most.raise(4) && most.raise(6));
    assert_eq!(most.get(), 6);
    most.reset();
    assert_eq!(most.get(), 0);

    let longest = Longest::new();
    assert_eq!(longest.get(), None);
    let code = 0xffff_ffff_8020_1234;
    assert!(longest.note(7, code));
    assert!(!longest.note(7, code + 1) && !longest.note(6, code + 2));
    assert_eq!(longest.get(), Some((7, code)));
    assert!(longest.note(u64::MAX, code + 3));
    assert_eq!(longest.get(), Some((u32::MAX.into(), code + 3)));
    longest.reset();
    assert_eq!(longest.get(), None);
}

#[test]
fn rates() {
    let sample = |count, time| Sample { count, time };
    let second = 1_000_000_000;
    for (before, after, rate) in [
        (sample(0, 0), sample(5, second), Some(5)),
        (sample(10, second), sample(11, second * 3), Some(1)),
        (sample(10, second), sample(10, second * 3), Some(0)),
        (sample(u64::MAX, 0), sample(9, second / 10), Some(100)),
        (sample(0, 0), sample(5, 0), None),
        (sample(0, 1), sample(5, 0), None),
        (sample(0, 0), sample(u64::MAX, 1), Some(u64::MAX)),
    ] {
        assert_eq!(after.rate_since(&before), rate);
    }
}

proptest! {
    /// Against the values themselves.
    #[test]
    fn histogram_of_anything(values in prop::collection::vec(0..1_u64 << 50, 1..60), per_mille in 0..1100_u32) {
        let halves = [Histogram::new(), Histogram::new()];
        for (index, &value) in values.iter().enumerate() {
            halves[index % 2].record(value);
        }
        let [one, other] = halves.map(|it| it.snapshot());
        let seen = one.with(&other);
        let count = values.len() as u64;
        let greatest = values.iter().max().copied();
        prop_assert_eq!(seen.count(), count);
        prop_assert_eq!(Some(seen.max()), greatest);
        prop_assert_eq!(seen.mean(), Some(values.iter().sum::<u64>() / count));
        let quantile = seen.quantile(per_mille).expect("values");
        let within = values.iter().filter(|&&it| it <= quantile).count() as u64;
        prop_assert!(within * 1000 >= count * u64::from(per_mille.min(1000)));
        prop_assert!(Some(quantile) <= greatest);
        let buckets: Vec<_> = seen.buckets().collect();
        prop_assert!(buckets.is_sorted());
        for (first, last, held) in buckets {
            let inside = values.iter().filter(|&&it| first <= it && it <= last).count();
            prop_assert_eq!(inside as u64, held);
        }
    }
}
