use std::string::ToString;

use super::{
    Broadcast, Census, InjectedFault, NAMES, Offset, Outcome, Stage, Synced, Unowned, init_wait,
    synchronize,
};

#[test]
fn stage_numbers_round_trip() {
    for (index, (stage, ..)) in NAMES.into_iter().enumerate() {
        assert_eq!(stage as usize, index, "{stage:?} is out of order");
        assert_eq!(Stage::from_number(stage as u32), Some(stage));
    }
    assert_eq!(Stage::from_number(8), None);
    assert_eq!(Stage::from_number(Stage::NEVER.into()), None);
}

#[test]
fn every_stage_has_words() {
    for (stage, ..) in NAMES {
        assert!(!stage.to_string().is_empty());
    }
    assert_eq!(std::format!("{:<10}|", Stage::Ready), "ready     |");
}

#[test]
fn an_injected_fault_names_an_ap_and_a_stage_before_the_last() {
    let expected = InjectedFault {
        cpu: 2,
        stage: Stage::LongMode,
    };
    assert_eq!(InjectedFault::parse("2@long"), Some(expected));
    for wrong in [
        "",
        "2",
        "@long",
        "0@long",
        "2@",
        "2@real",
        "2@ready",
        "2@abandoned",
        "-1@long",
        "x@long",
        "2@Long",
    ] {
        assert_eq!(InjectedFault::parse(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_late_cpu_has_claimed_its_slot() {
    for stage in ["long", "kernel", "tables", "apic"] {
        let text = std::format!("3@{stage}");
        assert_eq!(
            InjectedFault::parse_late(&text),
            InjectedFault::parse(&text)
        );
        assert!(InjectedFault::parse_late(&text).is_some(), "{text}");
    }
    for wrong in ["", "3@silent", "3@protected", "3@ready", "0@long"] {
        assert_eq!(InjectedFault::parse_late(wrong), None, "{wrong:?}");
    }
}

#[test]
fn only_old_families_wait_after_init() {
    let vendor = |name: &[u8; 12]| {
        let part = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| name[at + byte]));
        [part(0), part(4), part(8)]
    };
    let signature = |family: u32| match family {
        0..=0xe => family << 8,
        _ => 0xf00 | (family - 0xf) << 20,
    };
    for (name, family, expected) in [
        (b"GenuineIntel", 5, 10_000),
        (b"GenuineIntel", 6, 0),
        (b"GenuineIntel", 0xf, 0),
        (b"GenuineIntel", 0x13, 0),
        (b"AuthenticAMD", 5, 10_000),
        (b"AuthenticAMD", 6, 10_000),
        (b"AuthenticAMD", 0xf, 0),
        (b"AuthenticAMD", 0x1a, 0),
        (b"HygonGenuine", 0x18, 0),
        (b"CentaurHauls", 7, 10_000),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0", 0x1a, 10_000),
    ] {
        let found = init_wait(vendor(name), signature(family) | 0x5b, false);
        assert_eq!(found, expected, "{name:?} family {family:#x}");
        assert_eq!(init_wait(vendor(name), signature(family), true), 0);
    }
    // The extended family of a processor whose family is not 0FH is ignored.
    assert_eq!(
        init_wait(vendor(b"AuthenticAMD"), 0x0ff0_0600, false),
        10_000
    );
}

#[test]
fn shorthands_reach_only_cpus_that_are_online() {
    let all = Census::default();
    let choices = [
        (
            all,
            Broadcast::Shorthand,
            "by destination shorthand (every CPU is online)",
        ),
        (
            Census { failed: 1, ..all },
            Broadcast::EachCpu(Unowned::Failed(1)),
            "to each online CPU in turn (1 CPU did not start)",
        ),
        (
            Census {
                left_out: 3,
                addable: 2,
                ..all
            },
            Broadcast::EachCpu(Unowned::LeftOut(3)),
            "to each online CPU in turn (3 CPUs were left out)",
        ),
        (
            Census { addable: 4, ..all },
            Broadcast::EachCpu(Unowned::Addable(4)),
            "to each online CPU in turn (4 CPUs may be added)",
        ),
        (
            Census {
                is_incomplete: true,
                ..all
            },
            Broadcast::EachCpu(Unowned::Incomplete),
            "to each online CPU in turn (firmware's list of CPUs may be incomplete)",
        ),
    ];
    for (census, expected, words) in choices {
        assert_eq!(Broadcast::choose(census), expected, "{census:?}");
        assert_eq!(expected.to_string(), words);
    }
}

/// Two counters and messages between them. Time advances with each step.
struct Counters {
    now: u64,
    /// The AP's counter minus the boot CPU's.
    ahead: i64,
    /// The time of a request and a reply.
    delays: [u64; 2],
    /// The effect of an adjustment on the counter, in hundredths of the requested amount.
    effect: i64,
    adjustments: std::vec::Vec<i64>,
}

impl Counters {
    const fn new(ahead: i64, delays: [u64; 2]) -> Self {
        Self {
            now: 1 << 40,
            ahead,
            delays,
            effect: 100,
            adjustments: std::vec::Vec::new(),
        }
    }

    fn measure(&mut self) -> Offset {
        let sent = self.now;
        self.now += self.delays[0];
        let replied = self.now.wrapping_add_signed(self.ahead);
        self.now += self.delays[1];
        Offset::UNKNOWN.narrowed(sent, replied, self.now)
    }

    fn adjust(&mut self, cycles: i64) -> bool {
        self.ahead += cycles * self.effect / 100;
        self.adjustments.push(cycles);
        true
    }

    fn synchronize(&mut self) -> Synced {
        let cell = core::cell::RefCell::new(self);
        synchronize(
            || Some(cell.borrow_mut().measure()),
            |cycles| cell.borrow_mut().adjust(cycles),
        )
        .expect("the AP replies")
    }
}

#[test]
fn an_offset_lies_within_its_bounds() {
    for ahead in [-1_000_000, -1, 0, 1, 399, 5000] {
        for delays in [[0, 0], [200, 200], [0, 400], [10_000, 1]] {
            let offset = Counters::new(ahead, delays).measure();
            assert_eq!(offset.width(), delays[0] + delays[1]);
            assert!(offset.bound() >= ahead.unsigned_abs(), "{offset}");
            assert!(offset.least() <= ahead.unsigned_abs(), "{offset}");
            if offset.least() > 0 {
                assert_eq!(offset.is_ahead(), ahead > 0, "{offset}");
            }
        }
    }
}

#[test]
fn rounds_narrow_an_offset() {
    let slow = Counters::new(70, [5000, 100]).measure();
    let both = slow.narrowed(1000, 1000 + 70 + 50, 1000 + 6000);
    assert_eq!(both.to_string(), "-30 to 120 cycles");
    // A counter that jumps between two rounds: the bounds must agree with both rounds.
    let jumped = both.narrowed(9000, 9000 + 900, 9000 + 10);
    assert_eq!(jumped.to_string(), "-30 to 900 cycles");
    assert_eq!(
        Offset::UNKNOWN.narrowed(0, u64::MAX, 1).bound(),
        i64::MAX as u64
    );
}

#[test]
fn a_counter_that_agrees_is_not_adjusted() {
    for (ahead, delays) in [
        (0, [0, 0]),
        (0, [300, 300]),
        (150, [0, 200]),
        (-90, [100, 0]),
    ] {
        let mut counters = Counters::new(ahead, delays);
        assert_eq!(counters.synchronize().outcome, Outcome::Agreed, "{ahead}");
        assert!(counters.adjustments.is_empty());
    }
}

#[test]
fn a_counter_that_differs_is_corrected() {
    for ahead in [-2_000_000_000, -5000, 5000, 77_777_777] {
        for delays in [[100, 100], [0, 900], [900, 0]] {
            let mut counters = Counters::new(ahead, delays);
            let synced = counters.synchronize();
            assert!(
                matches!(synced.outcome, Outcome::Corrected(_)),
                "{synced:?}"
            );
            assert!(counters.ahead.unsigned_abs() <= 450, "{}", counters.ahead);
            assert!(synced.offset.bound() <= 900);
        }
    }
}

#[test]
fn an_adjustment_that_does_not_help_is_reverted() {
    for effect in [0, -100, 300] {
        let mut counters = Counters::new(40_000, [50, 50]);
        counters.effect = effect;
        assert_eq!(counters.synchronize().outcome, Outcome::Differs, "{effect}");
        assert_eq!(counters.ahead, 40_000, "{effect}");
        assert_eq!(counters.adjustments.iter().sum::<i64>(), 0, "{effect}");
    }
}

#[test]
fn without_an_adjustment_a_difference_is_reported() {
    let mut counters = Counters::new(-40_000, [50, 50]);
    let synced = synchronize(|| Some(counters.measure()), |_| false).expect("it replies");
    assert_eq!(synced.outcome, Outcome::Differs);
    assert_eq!(synced.offset.least(), 39_950);
    assert!(!synced.offset.is_ahead());
    assert_eq!(synchronize(|| None, |_| panic!("it does not reply")), None);
}
