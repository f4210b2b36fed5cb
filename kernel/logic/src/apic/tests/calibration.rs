//! Tests of frequency measurement on a machine whose CPU is preempted at random.

use crate::apic::calibration::{ATTEMPTS, Clock, Measurement, PRECISION, attempt, most_precise};
use core::cell::Cell;
use proptest::prelude::*;

/// QEMU's HPET: 10 ns, 64 bits.
const HPET: Clock = Clock::Hpet {
    period: 10_000_000,
    wide: true,
};

/// The true frequency of the TSC: 26 cycles for each count of the HPET.
const HERTZ: u64 = 2_600_000_000;

/// A hundredth of a second, in HPET counts.
const WANTED: u64 = 1_000_000;

/// A machine on which every read takes time, and some reads are delayed.
struct Host<'a> {
    now: Cell<u64>,
    reads: Cell<usize>,
    /// The numbers of the delayed reads, and the delays in cycles.
    away: &'a [(usize, u64)],
}

impl<'a> Host<'a> {
    fn new(away: &'a [(usize, u64)]) -> Self {
        Self {
            now: Cell::new(1 << 40),
            reads: Cell::new(0),
            away,
        }
    }

    /// The TSC after one more read.
    fn read(&self) -> u64 {
        let number = self.reads.replace(self.reads.get() + 1);
        let breaks = self.away.iter().filter(|(read, _)| *read == number);
        let away: u64 = breaks.map(|(_, cycles)| cycles).sum();
        self.now.set(self.now.get() + 1000 + away);
        self.now.get()
    }

    fn attempt(&self) -> Option<Measurement<u64>> {
        let count = || self.read() / 26;
        attempt(HPET, WANTED, || self.read(), count, || self.read())
    }
}

fn hertz(found: &Measurement<u64>) -> u64 {
    HPET.frequency(found.end - found.start, found.counts)
        .expect("both ran")
}

fn is_near(hertz: u64, part: u64) -> bool {
    hertz.abs_diff(HERTZ) <= HERTZ / part
}

#[test]
fn undisturbed() {
    let host = Host::new(&[]);
    let found = most_precise(|| host.attempt()).expect("the clock runs");
    assert!(found.is_precise());
    assert!(is_near(hertz(&found), 10_000), "{found:?}");
    // One attempt was sufficient.
    assert!(found.length < 2 * WANTED * 26);
    assert_eq!(host.now.get() - (1 << 40), found.length + 2000);
}

/// A delay of one second between the first count and the corresponding counter: the raw readings
/// give 26 MHz.
#[test]
fn interrupted_at_the_start() {
    let host = Host::new(&[(3, HERTZ)]);
    let first = host.attempt().expect("the clock runs");
    assert!(
        !first.is_precise() && !is_near(hertz(&first), 2),
        "{first:?}"
    );
    let host = Host::new(&[(3, HERTZ)]);
    let found = most_precise(|| host.attempt()).expect("the clock runs");
    assert!(is_near(hertz(&found), 10_000), "{found:?}");
}

/// Every attempt is delayed, by different times: the most precise one is used.
#[test]
fn always_interrupted() {
    let away = |number: u32| u64::from(number + 1) * 200_000;
    let mut number = 0;
    let found = most_precise(|| {
        let cycles = away((number + 3) % ATTEMPTS);
        number += 1;
        Host::new(&[(3, cycles)]).attempt()
    })
    .expect("the clock runs");
    assert_eq!(number, ATTEMPTS);
    assert!((200_000..210_000).contains(&found.uncertainty), "{found:?}");
}

#[test]
fn a_stopped_clock() {
    let host = Host::new(&[]);
    let attempt = || attempt(HPET, WANTED, || host.read(), || 7, || host.read());
    assert_eq!(most_precise(attempt), None);
    // If the clock stops later, the earlier result remains.
    let mut number = 0;
    let found = most_precise(|| {
        number += 1;
        (number == 1).then_some(Measurement {
            start: 0,
            end: 1,
            counts: 1,
            length: PRECISION,
            uncertainty: 2,
        })
    });
    assert_eq!(found.map(|found| found.uncertainty), Some(2));
}

proptest! {
    /// Whatever the delays are, the error is within the reported uncertainty.
    #[test]
    fn the_error_is_within_the_uncertainty(away in proptest::collection::vec((0_usize..80_000, 1_u64..10_000_000_000), 0..12)) {
        let host = Host::new(&away);
        let found = most_precise(|| host.attempt()).expect("the clock runs");
        let exact = u128::from(found.counts) * 26;
        let error = u128::from(found.end - found.start).abs_diff(exact);
        prop_assert!(error <= u128::from(found.uncertainty) + 26, "{:?}", found);
        if found.is_precise() {
            prop_assert!(is_near(hertz(&found), PRECISION - 2), "{:?}", found);
        }
    }
}
