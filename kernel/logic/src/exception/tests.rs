use super::{ERROR_CODE_VECTORS, ErrorCodeKind, Kind, exception, pushes_error_code};
use std::collections::HashSet;
use std::format;

#[test]
fn the_table_is_in_vector_order_and_ends_at_31() {
    for vector in 0..=255 {
        match exception(vector) {
            Some(exception) => assert_eq!(exception.vector, vector),
            None => assert!(vector >= 32),
        }
        assert_eq!(exception(vector).is_some(), vector < 32);
    }
}

#[test]
fn mnemonics_are_those_of_the_manuals() {
    let expected = [
        "#DE", "#DB", "NMI", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "#9", "#TS", "#NP", "#SS",
        "#GP", "#PF", "#15", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP", "#22", "#23", "#24", "#25",
        "#26", "#27", "#HV", "#VC", "#SX", "#31",
    ];
    for (vector, mnemonic) in (0..).zip(expected) {
        assert_eq!(exception(vector).unwrap().mnemonic, mnemonic);
    }
}

#[test]
fn mnemonics_are_unique_and_all_texts_are_there() {
    let mut seen = HashSet::new();
    for exception in (0..32).filter_map(exception) {
        assert!(seen.insert(exception.mnemonic), "{exception}");
        assert!(!exception.name.is_empty());
        assert!(!exception.source.is_empty());
    }
}

/// SDM vol. 3A, table 7-1, and APM vol. 2, 8.2, transcribed by hand.
#[test]
fn error_codes_come_with_ten_vectors() {
    let with_code = [8, 10, 11, 12, 13, 14, 17, 21, 29, 30];
    for vector in 0..=255 {
        assert_eq!(
            pushes_error_code(vector),
            with_code.contains(&vector),
            "vector {vector}"
        );
    }
    assert_eq!(ERROR_CODE_VECTORS, 0x6022_7d00);
}

#[test]
fn each_error_code_has_its_format() {
    for exception in (0..32).filter_map(exception) {
        let expected = match exception.vector {
            8 | 17 => ErrorCodeKind::Zero,
            10..=13 => ErrorCodeKind::Selector,
            14 => ErrorCodeKind::PageFault,
            21 => ErrorCodeKind::ControlProtection,
            29 => ErrorCodeKind::VmmCommunication,
            30 => ErrorCodeKind::Security,
            _ => ErrorCodeKind::None,
        };
        assert_eq!(exception.error_code, expected, "{exception}");
    }
}

#[test]
fn kinds_are_those_of_the_manuals() {
    for exception in (0..32).filter_map(exception) {
        let expected = match exception.vector {
            1 => Kind::FaultOrTrap,
            2 | 28 | 30 => Kind::Interrupt,
            3 | 4 => Kind::Trap,
            8 | 18 => Kind::Abort,
            15 | 22..=27 | 31 => Kind::Reserved,
            _ => Kind::Fault,
        };
        assert_eq!(exception.kind, expected, "{exception}");
    }
}

#[test]
fn display() {
    let text = format!("{}", exception(14).unwrap());
    assert_eq!(text, "#PF page fault (vector 14)");
    assert_eq!(format!("{:<6}|", Kind::Trap), "trap  |");
}
