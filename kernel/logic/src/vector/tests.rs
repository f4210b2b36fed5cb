use super::{PriorityClass, Vector, fixed};
use std::format;

#[test]
fn class_is_the_upper_half_of_every_vector() {
    for number in 0..=255 {
        let vector = Vector::new(number);
        assert_eq!(vector.get(), number);
        assert_eq!(vector.priority_class().get(), number / 16);
        assert!(vector.priority_class().vectors().contains(&number));
    }
}

#[test]
fn classes_partition_the_vectors() {
    let mut next = 0;
    for class in (0..=15).map(|n| PriorityClass::new(n).unwrap()) {
        assert_eq!(class.vectors().count(), 16);
        for vector in class.vectors() {
            assert_eq!(u32::from(vector), next);
            next += 1;
        }
    }
    assert_eq!(next, 256);
}

#[test]
fn there_are_sixteen_classes() {
    for number in 0..=255 {
        assert_eq!(PriorityClass::new(number).is_some(), number <= 15);
    }
    assert_eq!(PriorityClass::new(0), Some(PriorityClass::LOWEST));
    assert_eq!(PriorityClass::new(15), Some(PriorityClass::HIGHEST));
}

#[test]
fn exceptions_take_the_two_lowest_classes() {
    for vector in (0..=255).map(Vector::new) {
        assert_eq!(vector.priority_class().is_usable(), vector.get() >= 32);
    }
    assert_eq!(Vector(32).priority_class(), PriorityClass::LOWEST_USABLE);
}

#[test]
fn a_higher_vector_never_has_a_lower_class() {
    for (low, high) in (0..255).map(|n| (Vector(n), Vector(n + 1))) {
        assert!(low < high);
        assert!(low.priority_class() <= high.priority_class());
    }
}

#[test]
fn display() {
    assert_eq!(format!("{}", Vector(0x0e)), "0x0e");
    assert_eq!(format!("{:>3}", PriorityClass::LOWEST_USABLE), "  2");
}

#[test]
fn fixed_vectors_are_different_and_have_their_classes() {
    let all = fixed::ALL;
    assert!(all.is_sorted_by(|one, other| one < other), "{all:?}");
    assert!(fixed::WITHOUT_EOI.iter().all(|vector| all.contains(vector)));
    let class = |vector: Vector| vector.priority_class().get();
    // Each is what its module relies on.
    assert_eq!(class(fixed::DEFERRED), 2);
    assert_eq!(class(fixed::RESCHEDULE), 2);
    assert_eq!(class(fixed::CALL), 13);
    assert_eq!(class(fixed::CALL_ALL), 13);
    assert_eq!(class(fixed::TIMER), 14);
    assert_eq!(class(fixed::TIMER_COMMANDS), 14);
    assert_eq!(fixed::BENCH_STUBS.map(class), [13, 13, 14]);
    assert_eq!(fixed::NESTING_FIRST.map(class), [2, 5, 9, 14]);
    assert_eq!(fixed::NESTING_SECOND.map(class), [2, 5, 9]);
    assert_eq!(fixed::SPURIOUS.get() & 0xf, 0xf);
}
