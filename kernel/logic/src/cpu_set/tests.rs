use std::collections::BTreeSet;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

fn set_of(numbers: impl IntoIterator<Item = u32>) -> CpuSet {
    let mut set = CpuSet::EMPTY;
    for number in numbers {
        set.insert(number).unwrap();
    }
    set
}

#[test]
fn an_empty_set_has_no_cpus() {
    assert!(CpuSet::EMPTY.is_empty());
    assert_eq!(CpuSet::EMPTY.len(), 0);
    assert_eq!(CpuSet::EMPTY.iter().count(), 0);
    assert_eq!(CpuSet::EMPTY.to_string(), "");
    assert_eq!(CpuSet::default(), CpuSet::EMPTY);
}

#[test]
fn sets_are_written_as_ranges() {
    for (numbers, text) in [
        (&[0][..], "0"),
        (&[0, 1], "0-1"),
        (&[0, 1, 2, 3, 7], "0-3,7"),
        (&[5, 63, 64, 65, 128], "5,63-65,128"),
        (&[4095], "4095"),
    ] {
        assert_eq!(set_of(numbers.iter().copied()).to_string(), text);
        assert_eq!(text.parse(), Ok(set_of(numbers.iter().copied())));
    }
    let all = CpuSet::from_range(0..=MAX_CPUS - 1).unwrap();
    assert_eq!(all.to_string(), "0-4095");
    assert_eq!(all.len(), MAX_CPUS);
}

#[test]
fn numbers_out_of_range_are_rejected() {
    let mut set = CpuSet::EMPTY;
    assert_eq!(set.insert(MAX_CPUS), Err(OutOfRange(MAX_CPUS)));
    assert_eq!(set.insert(u32::MAX), Err(OutOfRange(u32::MAX)));
    assert!(set.is_empty());
    assert!(!set.contains(u32::MAX));
    assert!(!set.remove(MAX_CPUS));
    assert_eq!(CpuSet::from_range(4000..=4096), Err(OutOfRange(4096)));
    assert_eq!(CpuSet::from_range(0..=u32::MAX), Err(OutOfRange(u32::MAX)));
    #[allow(clippy::reversed_empty_ranges, reason = "that is the test")]
    let empty = CpuSet::from_range(5..=4);
    assert_eq!(empty, Ok(CpuSet::EMPTY));
}

#[test]
fn mistakes_say_what_is_wrong() {
    for (text, error, words) in [
        (
            "",
            ParseError::NotANumber,
            "a list of CPUs such as 0-3,7 is needed",
        ),
        (
            "0,",
            ParseError::NotANumber,
            "a list of CPUs such as 0-3,7 is needed",
        ),
        (
            "-3",
            ParseError::NotANumber,
            "a list of CPUs such as 0-3,7 is needed",
        ),
        (
            "+3",
            ParseError::NotANumber,
            "a list of CPUs such as 0-3,7 is needed",
        ),
        (
            "0-3-5",
            ParseError::NotANumber,
            "a list of CPUs such as 0-3,7 is needed",
        ),
        (
            "99999999999",
            ParseError::NotANumber,
            "a list of CPUs such as 0-3,7 is needed",
        ),
        (
            "7-3",
            ParseError::Backwards { first: 7, last: 3 },
            "7-3 goes backwards; write 3-7",
        ),
        (
            "0-4096",
            ParseError::OutOfRange(4096),
            "CPU 4096 cannot be: their numbers end at 4095",
        ),
    ] {
        let found = text.parse::<CpuSet>().unwrap_err();
        assert_eq!(found, error, "{text:?}");
        assert_eq!(found.to_string(), words, "{text:?}");
    }
}

/// A step of the comparison with the standard library's set.
#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u32),
    Remove(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        any::<bool>(),
        prop_oneof![0..8_u32, 56..136_u32, 0..MAX_CPUS],
    );
    let step = step.prop_map(|(insert, number)| {
        if insert {
            Step::Insert(number)
        } else {
            Step::Remove(number)
        }
    });
    proptest::collection::vec(step, 0..60)
}

fn apply(steps: &[Step]) -> (CpuSet, BTreeSet<u32>) {
    let (mut set, mut model) = (CpuSet::EMPTY, BTreeSet::new());
    for &step in steps {
        match step {
            Step::Insert(number) => assert_eq!(set.insert(number), Ok(model.insert(number))),
            Step::Remove(number) => assert_eq!(set.remove(number), model.remove(&number)),
        }
    }
    (set, model)
}

proptest! {
    #[test]
    fn sets_agree_with_a_model(first in steps(), second in steps()) {
        let (set, model) = apply(&first);
        prop_assert_eq!(set.len() as usize, model.len());
        prop_assert_eq!(set.is_empty(), model.is_empty());
        prop_assert!(set.iter().eq(model.iter().copied()));
        // Equal regardless of the order of the operations.
        prop_assert_eq!(set, set_of(model.iter().copied()));
        if !set.is_empty() {
            prop_assert_eq!(set.to_string().parse(), Ok(set));
        }
        let (other, other_model) = apply(&second);
        let rest = set.without(&other);
        prop_assert!(rest.iter().eq(model.difference(&other_model).copied()));
        prop_assert_eq!(rest, set_of(rest.iter()));
    }

    #[test]
    fn any_text_is_parsed_or_rejected(text in "[-0-9, x]{0,12}") {
        let text: String = text;
        if let Ok(set) = text.parse::<CpuSet>() {
            prop_assert_eq!(set.to_string().parse(), Ok(set));
        }
    }
}
