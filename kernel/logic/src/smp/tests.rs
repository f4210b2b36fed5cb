use std::string::ToString;

use super::{NAMES, Sabotage, Skew, Stage};

#[test]
fn numbers_lead_back_to_their_stages() {
    for (index, (stage, ..)) in NAMES.into_iter().enumerate() {
        assert_eq!(stage as usize, index, "{stage:?} is out of order");
        assert_eq!(Stage::from_number(stage as u32), Some(stage));
    }
    assert_eq!(Stage::from_number(9), None);
    assert_eq!(Stage::from_number(Stage::NEVER), None);
}

#[test]
fn every_stage_has_words() {
    for (stage, ..) in NAMES {
        assert!(!stage.to_string().is_empty());
    }
    assert_eq!(std::format!("{:<10}|", Stage::Ready), "ready     |");
}

#[test]
fn sabotage_names_an_ap_and_a_stage_before_the_last() {
    let expected = Sabotage {
        cpu: 2,
        stage: Stage::LongMode,
    };
    assert_eq!(Sabotage::parse("2@long"), Some(expected));
    for wrong in [
        "",
        "2",
        "@long",
        "0@long",
        "2@",
        "2@ready",
        "2@abandoned",
        "-1@long",
        "x@long",
        "2@Long",
    ] {
        assert_eq!(Sabotage::parse(wrong), None, "{wrong:?}");
    }
}

#[test]
fn a_counter_outside_the_boot_cpus_moments_is_off() {
    for (shown, skew) in [
        (99, Some(Skew::Behind(1))),
        (0, Some(Skew::Behind(100))),
        (100, None),
        (150, None),
        (200, None),
        (201, Some(Skew::Ahead(1))),
        (u64::MAX, Some(Skew::Ahead(u64::MAX - 200))),
    ] {
        assert_eq!(Skew::of(shown, 100..=200), skew, "{shown}");
    }
}
