//! The longest section, and rates.

use crate::irq::statistics::{Longest, Sample};

#[test]
fn the_longest() {
    let longest = Longest::new();
    assert_eq!(longest.get(), None);
    let code = 0xffff_ffff_8020_1234;
    for (nanoseconds, address) in [(7, code), (7, code + 1), (6, code + 2)] {
        longest.record(nanoseconds, address);
        assert_eq!(longest.get(), Some((7, code)));
    }
    longest.record(u64::MAX, code + 3);
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
