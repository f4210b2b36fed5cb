//! Tests of timer counts and calibration.

use crate::apic::calibration::{Clock, tsc_from_cpuid};
use crate::apic::timer::{Count, Divide, Rate, count};
use proptest::prelude::*;
use std::string::ToString;

/// QEMU's HPET: 10 ns, 64 bits.
const QEMU_HPET: Clock = Clock::Hpet {
    period: 10_000_000,
    wide: true,
};
/// The HPET of Intel's chipsets: 14.31818 MHz.
const INTEL_HPET: Clock = Clock::Hpet {
    period: 69_841_279,
    wide: true,
};

/// SDM vol. 3A, figure 12-10.
#[test]
fn divide_configuration() {
    let table = [
        (Divide::By2, 0b0000, 2),
        (Divide::By4, 0b0001, 4),
        (Divide::By8, 0b0010, 8),
        (Divide::By16, 0b0011, 16),
        (Divide::By32, 0b1000, 32),
        (Divide::By64, 0b1001, 64),
        (Divide::By128, 0b1010, 128),
        (Divide::By1, 0b1011, 1),
    ];
    for (divide, bits, divisor) in table {
        assert_eq!(divide.encode(), bits);
        assert_eq!(divide.divisor(), divisor);
        // Bit 2 and the bits above 3 are reserved.
        for noise in [0, 4, 0xffff_fff0, 0xffff_fff4] {
            assert_eq!(Divide::decode(bits | noise), divide);
        }
    }
    assert_eq!(Divide::By16.to_string(), "1/16");
}

#[test]
fn counts_for_cycles() {
    let equal = Rate::new(1_000_000_000, 1_000_000_000).unwrap();
    assert_eq!(equal.count(0), 1, "0 would stop the timer");
    assert_eq!(equal.count(1), 1);
    assert_eq!(equal.count(1_000_000), 1_000_000);
    assert_eq!(equal.count(u64::from(u32::MAX)), u32::MAX);
    assert_eq!(equal.count(1 << 32), u32::MAX, "the rest is for later");
    assert_eq!(equal.count(u64::MAX), u32::MAX);
    // A bus clock of 25 MHz, as with Intel's crystals, and a TSC of 2.4 GHz: 96 cycles per count.
    let slow = Rate::new(25_000_000, 2_400_000_000).unwrap();
    assert_eq!((slow.count(96), slow.count(97)), (2, 2), "rounded up");
    assert_eq!(Rate::new(0, 1), None);
    assert_eq!(Rate::new(1, 0), None);
    assert_eq!(Rate::new(u64::MAX, 1), None);
}

#[test]
fn counts_for_delays() {
    let at = |divide, initial| Some(Count { divide, initial });
    // 1 GHz: one nanosecond per count.
    assert_eq!(count(1_000_000_000, 1_000_000), at(Divide::By1, 1_000_000));
    assert_eq!(count(1_000_000_000, 0), at(Divide::By1, 1));
    assert_eq!(
        count(1_000_000_000, 4_294_967_295),
        at(Divide::By1, u32::MAX)
    );
    assert_eq!(
        count(1_000_000_000, 4_294_967_296),
        at(Divide::By2, 1 << 31)
    );
    // 2^32 * 127 counts: 128 is the smallest power of two for which they fit.
    let long = (1 << 32) * 127;
    assert_eq!(count(1_000_000_000, long), at(Divide::By128, 0xfe00_0000));
    assert_eq!(count(1_000_000_000, (1 << 32) * 128), None);
    assert_eq!(count(0, 1), None);
    // Rounded up, so that the timer never fires early.
    assert_eq!(count(3, 1), at(Divide::By1, 1));
    assert_eq!(count(1_000_000_001, 1), at(Divide::By1, 2));
    assert_eq!(
        count(1_000_000_001, 1_000_000_000),
        at(Divide::By1, 1_000_000_001)
    );
}

#[test]
fn clocks_wrap() {
    let timer = Clock::PmTimer { wide: false };
    assert_eq!(timer.elapsed(0xff_fff0, 0x10), 0x20);
    // The upper eight bits of a 24-bit timer are undefined.
    assert_eq!(timer.elapsed(0xabff_fff0, 0x1200_0010), 0x20);
    assert_eq!(
        Clock::PmTimer { wide: true }.elapsed(0xffff_fff0, 0x10),
        0x20
    );
    let narrow = Clock::Hpet {
        period: 1,
        wide: false,
    };
    assert_eq!(narrow.elapsed(0xffff_ffff, 0), 1);
    assert_eq!(QEMU_HPET.elapsed(0xffff_ffff, 0x1_0000_0000), 1);
    assert_eq!(QEMU_HPET.elapsed(u64::MAX, 4), 5);
    // The PIT counts down.
    assert_eq!(Clock::Pit.elapsed(1000, 900), 100);
    assert_eq!(Clock::Pit.elapsed(5, 0xfffe), 7);
    assert_eq!(Clock::Pit.elapsed(5, 5), 0);
}

/// Expected values from a calculator.
#[test]
fn frequencies() {
    // 3 GHz over 10 ms.
    assert_eq!(
        QEMU_HPET.frequency(30_000_000, 1_000_000),
        Some(3_000_000_000)
    );
    // 143182 counts of 69.841279 ns are 10.000014 ms, 24000033.6 cycles at 2.4 GHz.
    assert_eq!(
        INTEL_HPET.frequency(24_000_034, 143_182),
        Some(2_400_000_038)
    );
    // 35795 counts of the PM timer are 9.9998743 ms.
    assert_eq!(
        Clock::PmTimer { wide: false }.frequency(10_000_000, 35_795),
        Some(1_000_012_572)
    );
    // 11932 counts of the PIT are 10.000152 ms.
    assert_eq!(Clock::Pit.frequency(10_000_152, 11_932), Some(999_999_962));
    for clock in [QEMU_HPET, Clock::Pit] {
        assert_eq!(clock.frequency(0, 5), None);
        assert_eq!(clock.frequency(5, 0), None);
    }
    // More than 64 bits are rejected, not truncated.
    assert_eq!(QEMU_HPET.frequency(u64::MAX, 1), None);
}

#[test]
fn durations() {
    assert_eq!(QEMU_HPET.counts(1_000_000), 100_000);
    assert_eq!(QEMU_HPET.nanoseconds(100_000), 1_000_000);
    assert_eq!(Clock::Pit.counts(10_000_000), 11_932);
    assert_eq!(Clock::Pit.nanoseconds(11_932), 10_000_152);
    assert_eq!(
        Clock::PmTimer { wide: true }.counts(1_000_000_000),
        3_579_545
    );
    assert_eq!(
        Clock::PmTimer { wide: true }.nanoseconds(3_579_545),
        1_000_000_000
    );
    // The extremes saturate.
    let slow = Clock::Hpet {
        period: 100_000_000,
        wide: true,
    };
    assert_eq!(slow.nanoseconds(u64::MAX), u64::MAX);
    let fast = Clock::Hpet {
        period: 1,
        wide: true,
    };
    assert_eq!(fast.counts(u64::MAX), u64::MAX);
}

#[test]
fn hpet_capabilities() {
    // QEMU's register: 10 ns, vendor 8086h, 64 bits.
    assert_eq!(Clock::hpet(0x0098_9680_8086_a201), Some(QEMU_HPET));
    assert_eq!(
        Clock::hpet(0x0429_b17f_8086_8201),
        Some(Clock::Hpet {
            period: 69_841_279,
            wide: false
        })
    );
    assert_eq!(Clock::hpet(100_000_001 << 32), None);
    assert!(Clock::hpet(100_000_000 << 32).is_some());
    assert_eq!(Clock::hpet(0x8086_a201), None);
    assert_eq!(Clock::hpet(u64::MAX), None);
}

#[test]
fn tsc_stated_by_cpuid() {
    let machine = |highest, leaf15| {
        move |leaf, _| match leaf {
            0 => (highest, 0, 0, 0),
            0x15 => leaf15,
            _ => (u32::MAX, u32::MAX, u32::MAX, u32::MAX),
        }
    };
    // Skylake client: 24 MHz * 216 / 2.
    assert_eq!(
        tsc_from_cpuid(machine(0x16, (2, 216, 24_000_000, 0))),
        Some(2_592_000_000)
    );
    // The crystal frequency or the leaf is missing.
    assert_eq!(tsc_from_cpuid(machine(0x16, (2, 216, 0, 0))), None);
    assert_eq!(tsc_from_cpuid(machine(0x16, (0, 0, 0, 0))), None);
    assert_eq!(tsc_from_cpuid(machine(0x14, (2, 216, 24_000_000, 0))), None);
}

proptest! {
    /// The wait is never shorter than requested, and at most a few counts longer.
    #[test]
    fn counts_are_never_too_short(
        timer in 1_000_000..5_000_000_000u64, tsc in 100_000_000..6_000_000_000u64,
        cycles in 0..1u64 << 33,
    ) {
        let count = u128::from(Rate::new(timer, tsc).unwrap().count(cycles));
        let wanted = u128::from(cycles) * u128::from(timer);
        // The number of counts in one cycle.
        let step = u128::from(timer / tsc + 1);
        let longest = u128::from(u32::MAX) - step - 3;
        if wanted <= longest * u128::from(tsc) {
            prop_assert!(count * u128::from(tsc) >= wanted);
            prop_assert!((count - 1).saturating_sub(3) * u128::from(tsc) <= wanted);
        } else {
            prop_assert!(count >= longest);
        }
    }

    /// From an exact clock, read at any moment, the frequency is recovered.
    #[test]
    fn frequency_is_found(
        hz in 1_000_000_u64..10_000_000_000,
        counts in 100_000_u64..10_000_000,
        which in 0_usize..4,
    ) {
        let clock = [
            QEMU_HPET,
            INTEL_HPET,
            Clock::PmTimer { wide: true },
            Clock::Pit,
        ][which];
        // Seconds per count, as a fraction.
        let (n, d) = [
            (10_000_000, 1_000_000_000_000_000),
            (69_841_279, 1_000_000_000_000_000),
            (1, 3_579_545),
            (88, 105_000_000_u128),
        ][which];
        let exact = u128::from(hz) * u128::from(counts) * n / d;
        let ticks = u64::try_from(exact).expect("at most a day");
        let found = clock.frequency(ticks, counts).expect("in range");
        // Rounding loses up to a tick and up to a hertz.
        let error = u128::from(found.abs_diff(hz));
        prop_assert!(error * exact <= u128::from(hz) + exact, "{} for {}", found, hz);
    }

    #[test]
    fn counts_are_never_early(hz in 1_u64..10_000_000_000, nanoseconds in 0..100_000_000_000_u64) {
        if let Some(Count { divide, initial }) = count(hz, nanoseconds) {
            let ticks = u128::from(initial) * u128::from(divide.divisor());
            prop_assert!(ticks * 1_000_000_000 >= u128::from(hz) * u128::from(nanoseconds));
            prop_assert!(initial > 0);
        }
    }
}
