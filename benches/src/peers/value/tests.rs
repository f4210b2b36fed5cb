//! Tests of `value`.

use super::*;

const COUNTED: Case = Case {
    clock: Some(Clock::Instructions),
    cpus: 4,
    steady: true,
};

fn measured(value: f64, spread: Option<(u64, f64, f64, f64)>) -> Measured {
    Measured {
        test: "hrtimer".to_owned(),
        value,
        spread: spread.map(|(samples, min, p99, max)| Spread {
            samples,
            min,
            p99,
            max,
        }),
    }
}

fn rejection(value: f64, spread: Option<(u64, f64, f64, f64)>, case: Case) -> String {
    measured(value, spread).rejection(case).unwrap_or_default()
}

#[test]
fn measured_paths_are_plausible() {
    for (value, spread) in [
        (235.0, Some((10_000, 235.0, 235.0, 546_327.0))),
        (479.0, Some((10_000, 421.0, 479.0, 20_879.0))),
        (5128.0, Some((10_000, 5124.0, 5128.0, 20_791.0))),
        (3654.0, Some((2_000, 3598.0, 4688.0, 6838.0))),
        (123.0, None),
    ] {
        assert_eq!(measured(value, spread).rejection(COUNTED), None);
    }
}

#[test]
fn a_median_far_above_the_minimum_includes_waiting() {
    let timer = Some((200, 394.0, 717_352.0, 717_355.0));
    let why = rejection(226_556.0, timer, COUNTED);
    assert!(why.contains("the minimum is 394"), "{why}");
    // The limit itself is plausible.
    let close = Some((200, 400.0, 1300.0, 1300.0));
    assert_eq!(rejection(1200.0, close, COUNTED), "");
    assert_ne!(rejection(1201.0, close, COUNTED), "");
}

#[test]
fn a_path_of_very_many_instructions_includes_waiting() {
    let why = rejection(149_485.0, None, COUNTED);
    assert!(why.contains("more than 40000 instructions"), "{why}");
    let all_alike = Some((200, 149_000.0, 149_500.0, 149_500.0));
    assert_ne!(rejection(149_485.0, all_alike, COUNTED), "");
    // A broadcast reaches every CPU.
    let wide = Case {
        cpus: 16,
        ..COUNTED
    };
    assert_eq!(rejection(149_485.0, all_alike, wide), "");
}

#[test]
fn cycles_are_rejected_only_if_they_include_the_hosts_scheduler() {
    let cycles = Case {
        clock: Some(Clock::Cycles),
        ..COUNTED
    };
    // A woken thread of a halted CPU, and a timer, on a busy host.
    let thread = Some((2000, 77_063.0, 7_591_034.0, 40_782_466.0));
    assert_eq!(rejection(249_702.0, thread, cycles), "");
    let timer = Some((200, 20_128.0, 12_695_668.0, 16_022_033.0));
    assert_eq!(rejection(64_498.0, timer, cycles), "");
    // Calls on CPUs that wait for a core of the host: half of the samples, and all of them.
    let half = Some((50, 9_236.0, 92_607_598.0, 92_607_598.0));
    let why = rejection(9_527_878.0, half, cycles);
    assert!(why.contains("the minimum is 9236"), "{why}");
    let all = Some((50, 16_022_216.0, 153_994_308.0, 153_994_308.0));
    let why = rejection(39_225_651.0, all, cycles);
    assert!(why.contains("more than 4000000 cycles"), "{why}");
}

#[test]
fn waiting_is_plausible_under_load_and_in_other_units() {
    let timer = Some((200, 394.0, 717_352.0, 717_355.0));
    for case in [
        Case {
            clock: None,
            ..COUNTED
        },
        Case {
            steady: false,
            ..COUNTED
        },
    ] {
        assert_eq!(rejection(226_556.0, timer, case), "");
    }
}

#[test]
fn what_is_no_distribution_is_rejected_by_every_clock() {
    for clock in [Some(Clock::Cycles), Some(Clock::Instructions), None] {
        let case = Case { clock, ..COUNTED };
        for value in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let why = rejection(value, None, case);
            assert_eq!(why, "not more than the cost of measuring");
        }
        for spread in [
            (100, 301.0, 400.0, 500.0),
            (100, 200.0, 299.0, 500.0),
            (100, 200.0, 400.0, 399.0),
            (100, f64::NAN, 400.0, 500.0),
        ] {
            let why = rejection(300.0, Some(spread), case);
            assert_eq!(why, "its percentiles are out of order");
        }
        assert_ne!(rejection(300.0, Some((49, 300.0, 300.0, 300.0)), case), "");
        assert_eq!(rejection(300.0, Some((50, 300.0, 300.0, 300.0)), case), "");
    }
}
