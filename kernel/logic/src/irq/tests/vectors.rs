//! Vector allocation.

use super::{class, classes};
use crate::irq::vectors::{
    Allocator, EXCEPTIONS, Exhausted, Levels, NotAllocated, NotAvailable, VectorSet,
};
use crate::vector::{PriorityClass, Vector};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::string::ToString;
use std::vec::Vec;

const SIZES: [u8; 5] = [1, 2, 4, 8, 16];

/// The set of these vectors of the class, bit n for its vector n.
fn set_of(class: PriorityClass, bits: u16) -> VectorSet {
    (0..16)
        .filter(|n| bits >> n & 1 != 0)
        .map(|n| Vector(class.get() << 4 | n))
        .collect()
}

#[test]
fn each_class_to_its_last_vector() {
    for class in classes() {
        for size in SIZES {
            let mut allocator = Allocator::new(VectorSet::EMPTY);
            let mut given = BTreeSet::new();
            while let Ok(first) = allocator.allocate_block(class, size) {
                assert_eq!(first.get() % size, 0, "{first}");
                for vector in first.get()..=first.get() + (size - 1) {
                    assert_eq!(Vector(vector).priority_class(), class);
                    assert!(given.insert(vector), "{vector} twice");
                    assert!(allocator.allocated().contains(Vector(vector)));
                }
            }
            // Classes 0 and 1 are reserved for exceptions.
            let expected = if class.is_usable() { 16 } else { 0 };
            assert_eq!(given.len(), expected);
            assert_eq!(allocator.allocated().len() as usize, expected);
            assert_eq!(allocator.available_in(class), 0);
            let nearest = match class.get() {
                0 | 1 => 2,
                15 => 14,
                number => number + 1,
            };
            assert_eq!(
                allocator.allocate_block(class, size),
                Err(Exhausted {
                    class,
                    asked: size,
                    free_in_class: 0,
                    largest_block: 0,
                    nearest: Some(super::class(nearest)),
                })
            );
            for first in given.into_iter().step_by(size.into()) {
                assert_eq!(allocator.free_block(Vector(first), size), Ok(()));
            }
            assert_eq!(allocator, Allocator::new(VectorSet::EMPTY));
        }
    }
}

#[test]
fn all_vectors_of_a_cpu() {
    let mut allocator = Allocator::new(VectorSet::of(Vector(0x80)));
    let mut given = VectorSet::EMPTY;
    for class in classes() {
        while let Ok(vector) = allocator.allocate(class) {
            assert!(given.insert(vector));
        }
    }
    assert_eq!(given.len(), 256 - 32 - 1);
    assert_eq!(given, VectorSet::ALL.without(allocator.reserved()));
    for class in classes() {
        let exhausted = allocator.allocate(class).expect_err("nothing is left");
        assert_eq!(exhausted.nearest, None);
    }
}

/// Every set of free vectors of a class, and every size.
#[test]
fn blocks_come_from_the_smallest_gap() {
    let class = class(9);
    for bits in 0..=u16::MAX {
        let set = set_of(class, bits);
        let is_free = |first: u8, size: u8| (first..first + size).all(|n| bits >> n & 1 != 0);
        for size in SIZES {
            // For each free block, the largest aligned block around it that is free.
            let expected = (0..16)
                .step_by(size.into())
                .filter(|&first| is_free(first, size))
                .min_by_key(|&first| {
                    let around = SIZES.into_iter().rev();
                    let gap = around
                        .filter(|&larger| larger >= size)
                        .find(|&larger| is_free(first / larger * larger, larger));
                    (gap, first)
                });
            let expected = expected.map(|first| Vector(class.get() << 4 | first));
            assert_eq!(set.find_block(class, size), expected, "{bits:#06x} {size}");
        }
    }
}

#[test]
fn counts_are_rounded_up() {
    for count in 0..=u8::MAX {
        let mut allocator = Allocator::new(VectorSet::EMPTY);
        let given = allocator.allocate_block(class(5), count);
        let size = SIZES.into_iter().find(|&size| count <= size);
        assert_eq!(given.ok(), size.map(|_| Vector(0x50)));
        assert_eq!(allocator.allocated().len(), size.unwrap_or(0).into());
    }
}

#[test]
fn one_vector_after_another_is_claimed() {
    let reserved = VectorSet::range(Vector(0x20), Vector(0x2f)).with(VectorSet::of(Vector(0xd0)));
    let mut allocator = Allocator::new(reserved);
    for vector in (0..=u8::MAX).map(Vector) {
        let is_reserved = vector.get() < 0x30 || vector.get() == 0xd0;
        assert_eq!(allocator.reserved().contains(vector), is_reserved);
        let expected = if is_reserved {
            Err(NotAvailable(vector))
        } else {
            Ok(())
        };
        assert_eq!(allocator.claim(vector, 1), expected);
        assert_eq!(allocator.claim(vector, 1), Err(NotAvailable(vector)));
    }
    for vector in (0..=u8::MAX).map(Vector) {
        let expected = if reserved.with(EXCEPTIONS).contains(vector) {
            Err(NotAllocated(vector))
        } else {
            Ok(())
        };
        assert_eq!(allocator.free(vector), expected);
        assert_eq!(allocator.free(vector), Err(NotAllocated(vector)));
    }
    assert_eq!(allocator, Allocator::new(reserved));
}

#[test]
fn blocks_are_claimed_whole_or_not_at_all() {
    for size in SIZES {
        for first in (0x20..=u8::MAX).map(Vector) {
            for taken in (0x20..=u8::MAX).map(Vector) {
                let mut allocator = Allocator::new(VectorSet::EMPTY);
                allocator.claim(taken, 1).expect("free");
                let before = allocator.clone();
                let is_aligned = first.get() % size == 0;
                let is_in = taken >= first && taken.get() - first.get() < size;
                let expected = match (is_aligned, is_in) {
                    (false, _) => Err(NotAvailable(first)),
                    (true, true) => Err(NotAvailable(taken)),
                    (true, false) => Ok(()),
                };
                assert_eq!(allocator.claim(first, size), expected);
                if expected.is_ok() {
                    assert_eq!(allocator.free_block(first, size), Ok(()));
                }
                assert_eq!(allocator, before);
            }
        }
    }
}

/// For every pair of classes that have room, the nearer one is reported; if both are equally near,
/// the higher.
#[test]
fn the_nearest_class_with_room() {
    for asked in 2..16_u8 {
        for one in 2..16_u8 {
            for other in (2..16).filter(|&other| other != asked && one != asked) {
                let room = VectorSet::EMPTY
                    .with_class(class(one))
                    .with_class(class(other));
                let mut allocator = Allocator::new(VectorSet::ALL.without(room));
                let exhausted = allocator.allocate(class(asked)).expect_err("no room");
                let nearest = [one, other]
                    .into_iter()
                    .min_by_key(|&it| (it.abs_diff(asked), u8::MAX - it))
                    .map(class);
                assert_eq!(exhausted.nearest, nearest, "{asked} {one} {other}");
            }
        }
    }
}

#[test]
fn refusals_in_words() {
    let all_but = |room: VectorSet| Allocator::new(VectorSet::ALL.without(room));
    let words = |mut allocator: Allocator, number, count| {
        let refusal = allocator.allocate_block(class(number), count);
        refusal.expect_err("no room").to_string()
    };
    assert_eq!(
        words(all_but(VectorSet::of(Vector(0x61))), 5, 1),
        "no vector of class 5 is free on this CPU; class 6 has room"
    );
    let odd = set_of(class(5), 0b0111_1110_1011_1010);
    assert_eq!(
        words(all_but(odd), 5, 8),
        "no block of 8 vectors of class 5 is free on this CPU: 11 free, the largest block has 2; \
         no other class has room: try another CPU"
    );
    assert_eq!(
        words(all_but(VectorSet::ALL), 5, 32),
        "no block of 32 vectors of class 5 is free on this CPU: 16 free, the largest block has \
         16; a class has 16 vectors: ask for fewer"
    );
    assert_eq!(
        words(all_but(VectorSet::ALL), 1, 1),
        "no vector of class 1 is free on this CPU; classes 0 and 1 are the processor's: ask for \
         2 to 15"
    );
    assert_eq!(
        NotAllocated(Vector(0x31)).to_string(),
        "vector 0x31 was not given out on this CPU"
    );
    assert_eq!(
        NotAvailable(Vector(0x31)).to_string(),
        "vector 0x31 is reserved or in use on this CPU, or begins no such block"
    );
}

#[test]
fn sets_of_every_two_vectors() {
    for first in (0..=u8::MAX).map(Vector) {
        for last in (0..=u8::MAX).map(Vector) {
            let range = VectorSet::range(first, last);
            let expected = first.get()..=last.get();
            assert_eq!(range.len() as usize, expected.clone().count());
            let is_any = first <= last;
            assert_eq!(range.is_empty(), !is_any);
            assert_eq!(range.lowest(), is_any.then_some(first));
            assert_eq!(range.highest(), is_any.then_some(last));
            let two: VectorSet = [first, last].into_iter().collect();
            assert_eq!(two.with(range).common(range).without(two).len(), {
                (last.get().saturating_sub(first.get()))
                    .saturating_sub(1)
                    .into()
            });
        }
    }
}

#[test]
fn registers_are_vectors() {
    for vector in (0..=u8::MAX).map(Vector) {
        let mut registers = [0; 8];
        registers[usize::from(vector.get() / 32)] = 1 << (vector.get() % 32);
        assert_eq!(VectorSet::from_registers(registers), VectorSet::of(vector));
    }
    let set = VectorSet::range(Vector(0x2f), Vector(0x41)).with(VectorSet::of(Vector(0xff)));
    assert_eq!(set.to_string(), "0x2f-0x41 0xff");
    assert_eq!(VectorSet::EMPTY.to_string(), "none");
    assert_eq!(VectorSet::ALL.to_string(), "0x00-0xff");
    let forward: Vec<_> = set.into_iter().collect();
    let mut backward: Vec<_> = set.into_iter().rev().collect();
    backward.reverse();
    assert_eq!(forward, backward);
    assert_eq!(set.iter().len(), 20);
    assert!(
        set.classes()
            .iter()
            .map(PriorityClass::get)
            .eq([2, 3, 4, 15])
    );
}

proptest! {
    /// Compared with a plain set, for any order of calls.
    #[test]
    fn nothing_is_allocated_twice(calls in prop::collection::vec((0..16_u8, 0..5_usize, any::<bool>()), 0..200)) {
        let mut allocator = Allocator::new(VectorSet::of(Vector(0x80)));
        let mut blocks: Vec<(Vector, u8)> = Vec::new();
        for (number, size, give) in calls {
            if give {
                if let Ok(first) = allocator.allocate_block(class(number), SIZES[size]) {
                    blocks.push((first, SIZES[size]));
                }
            } else if !blocks.is_empty() {
                let (first, size) = blocks.swap_remove(usize::from(number) % blocks.len());
                prop_assert_eq!(allocator.free_block(first, size), Ok(()));
            }
            let given: Vec<u8> = blocks
                .iter()
                .flat_map(|&(first, size)| first.get()..=first.get() + (size - 1))
                .collect();
            let set: BTreeSet<u8> = given.iter().copied().collect();
            prop_assert_eq!(set.len(), given.len());
            prop_assert!(allocator.allocated().iter().map(Vector::get).eq(set));
        }
    }

    /// Level-triggered inputs of several CPUs, created and dropped in any order: an input shares a
    /// vector only if its CPU has no other one.
    #[test]
    fn levels_share_only_where_they_must(
        calls in prop::collection::vec((0..3_usize, 4..6_u8, any::<bool>()), 0..200),
    ) {
        let mut cpus: Vec<Allocator> = (0..3).map(|_| Allocator::new(VectorSet::EMPTY)).collect();
        let mut levels = Levels::new();
        let mut inputs: Vec<(usize, Vector)> = Vec::new();
        for (at, number, give) in calls {
            if give {
                let before = levels.vectors();
                let own = cpus[at].available().without(before);
                let Ok(vector) = levels.allocate(&mut cpus[at], class(number), 1) else {
                    prop_assert_eq!(cpus[at].available_in(class(number)), 0);
                    continue;
                };
                let must_share = own.find_block(class(number), 1).is_none();
                prop_assert_eq!(before.contains(vector), must_share);
                prop_assert_eq!(vector.priority_class(), class(number));
                prop_assert!(cpus[at].allocated().contains(vector));
                inputs.push((at, vector));
            } else if !inputs.is_empty() {
                let (at, vector) = inputs.swap_remove(usize::from(number) % inputs.len());
                levels.release(vector);
                prop_assert_eq!(cpus[at].free(vector), Ok(()));
            }
            let vectors: VectorSet = inputs.iter().map(|&(_, vector)| vector).collect();
            prop_assert_eq!(levels.vectors(), vectors);
        }
    }
}

#[test]
fn two_levels_of_a_class_differ_on_two_cpus() {
    let mut cpus = [const { Allocator::new(VectorSet::EMPTY) }; 2];
    let mut levels = Levels::default();
    let vectors = cpus
        .each_mut()
        .map(|cpu| levels.allocate(cpu, class(5), 1).expect("all are free"));
    assert_eq!(vectors, [Vector(0x50), Vector(0x51)]);
    // The block at 0x50 contains vectors in use, so the next one is chosen.
    assert_eq!(levels.allocate(&mut cpus[1], class(5), 4), Ok(Vector(0x54)));
}
