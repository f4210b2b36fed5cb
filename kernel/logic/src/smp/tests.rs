use std::string::ToString;

use super::{NAMES, Sabotage, Stage};

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
