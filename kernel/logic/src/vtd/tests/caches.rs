//! The operations on tables: no request is ever translated by a stale entry.

use super::model::Unit;
use crate::apic::{ApicId, Trigger};
use crate::vector::Vector;
use crate::vtd::irte::{Accepts, EntryError, Irte};
use crate::vtd::mapping::{MapError, Mapped, Rights, Tables};
use crate::vtd::table::{self, Context, TableError};
use crate::vtd::{Command, Levels, PAGE, SourceId};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::vec::Vec;

/// Capabilities: caching mode, three to five levels (SAGAW), pages of 2 MiB and 1 GiB, 57 address
/// bits, invalidation of up to `1 << 9` pages.
const CACHING: u64 = 1 << 7;
const LEVELS: [u64; 3] = [1 << 9, 1 << 10, 1 << 11];
const M2: u64 = 1 << 34;
const G1: u64 = 1 << 35;
const USUAL: u64 = 56 << 16 | 1 << 39 | 9 << 48;

const DEVICE: SourceId = SourceId::new(0, 4, 0);
const OTHER: SourceId = SourceId::new(3, 0, 1);

/// All combinations.
fn capabilities() -> impl Iterator<Item = u64> {
    let caching = [0, CACHING].into_iter();
    let both = caching.flat_map(|it| LEVELS.map(|levels| it | levels | USUAL));
    both.flat_map(|it| [0, M2, M2 | G1].map(|pages| it | pages))
}

fn irte(vector: u8, cpu: u32) -> Irte {
    Irte {
        vector: Vector(vector),
        cpu: ApicId(cpu),
        trigger: Trigger::Edge,
        accepts: Accepts::Source(DEVICE),
    }
}

#[test]
fn the_levels_that_a_unit_supports() {
    let levels = |bits: u64| crate::vtd::Capability(bits).levels();
    assert_eq!(levels(0), None);
    assert_eq!(levels(LEVELS[0]), Some(Levels::Three));
    assert_eq!(levels(LEVELS[0] | LEVELS[1]), Some(Levels::Four));
    assert_eq!(levels(LEVELS[2]), Some(Levels::Five));
}

#[test]
fn a_function_reaches_only_what_is_mapped() {
    for capability in capabilities() {
        let mut unit = Unit::new(capability);
        let domain = unit.attach(DEVICE, 5);
        let foreign = unit.attach(OTHER, 6);
        assert_eq!(unit.access(DEVICE, 0x5000, false), None);
        let capability = unit.capability;
        let rights = Rights::Read;
        domain
            .map(&mut unit, capability, 0x5000..0x7000, 0xabc_d000, rights)
            .expect("free");
        foreign
            .map(
                &mut unit,
                capability,
                0x5000..0x6000,
                0x1_0000,
                Rights::Write,
            )
            .expect("free");
        assert_eq!(unit.access(DEVICE, 0x5123, false), Some(0xabc_d123));
        assert_eq!(unit.access(DEVICE, 0x6fff, false), Some(0xabc_efff));
        assert_eq!(unit.access(DEVICE, 0x5123, true), None, "no right");
        assert_eq!(unit.access(DEVICE, 0x7000, false), None, "behind it");
        assert_eq!(unit.access(OTHER, 0x5123, true), Some(0x1_0123));
        assert_eq!(unit.access(OTHER, 0x5123, false), None, "no right");
        assert_eq!(unit.access(SourceId(7), 0x5000, false), None, "no domain");

        domain
            .unmap(&mut unit, capability, 0x5000..0x7000)
            .expect("mapped");
        assert_eq!(unit.access(DEVICE, 0x5123, false), None);
        assert_eq!(unit.access(OTHER, 0x5123, true), Some(0x1_0123));
        unit.set_context(OTHER, None);
        assert_eq!(unit.access(OTHER, 0x5123, true), None);
        unit.set_context(OTHER, Some(&domain));
        assert_eq!(unit.access(OTHER, 0x5123, true), None);
        // A context entry of another domain replaces one that is in use.
        unit.set_context(DEVICE, Some(&foreign));
        assert_eq!(unit.access(DEVICE, 0x5123, true), Some(0x1_0123));
    }
}

/// The model notices each kind of invalidation that a driver forgets.
#[test]
fn forgotten_invalidations_are_noticed() {
    let is_noticed = |run: fn(&mut Unit)| {
        let mut unit = Unit::new(USUAL | LEVELS[1]);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&mut unit)));
        outcome.is_err_and(|payload| {
            let text = payload.downcast_ref::<std::string::String>();
            text.is_some_and(|text| text.contains("stale"))
        })
    };
    assert!(is_noticed(|unit| {
        let domain = unit.attach(DEVICE, 5);
        let capability = unit.capability;
        domain
            .map(unit, capability, 0x5000..0x6000, 0, Rights::Read)
            .expect("free");
        unit.access(DEVICE, 0x5000, false);
        unit.is_attentive = false;
        domain
            .unmap(unit, capability, 0x5000..0x6000)
            .expect("mapped");
        unit.access(DEVICE, 0x5000, false);
    }));
    assert!(is_noticed(|unit| {
        unit.attach(DEVICE, 5);
        unit.access(DEVICE, 0x5000, false);
        unit.is_attentive = false;
        unit.set_context(DEVICE, None);
        unit.access(DEVICE, 0x5000, false);
    }));
    assert!(is_noticed(|unit| {
        let (table, capability) = (unit.interrupts, unit.capability);
        table
            .set(unit, capability, 3, Some(irte(0x40, 1)))
            .expect("an entry");
        unit.interrupt(DEVICE, 3);
        unit.is_attentive = false;
        table
            .set(unit, capability, 3, Some(irte(0x40, 2)))
            .expect("an entry");
        unit.interrupt(DEVICE, 3);
    }));
    // With caching mode, also when something becomes present.
    assert!(is_noticed(|unit| {
        unit.capability.0 |= CACHING;
        let domain = unit.attach(DEVICE, 5);
        unit.access(DEVICE, 0x5000, false);
        unit.is_attentive = false;
        let capability = unit.capability;
        domain
            .map(unit, capability, 0x5000..0x6000, 0, Rights::Read)
            .expect("free");
        unit.access(DEVICE, 0x5000, false);
    }));
}

/// Invalidations that the specification does not require are not made.
#[test]
fn no_invalidation_without_need() {
    let mut unit = Unit::new(USUAL | LEVELS[1]);
    let domain = unit.attach(DEVICE, 5);
    let (table, capability) = (unit.interrupts, unit.capability);
    domain
        .map(&mut unit, capability, 0x5000..0x6000, 0, Rights::Read)
        .expect("free");
    table
        .set(&mut unit, capability, 3, Some(irte(0x40, 1)))
        .expect("an entry");
    assert_eq!(unit.commands, []);
    domain
        .unmap(&mut unit, capability, 0x5000..0x6000)
        .expect("mapped");
    assert_eq!(unit.commands.len(), 1);
}

#[test]
fn large_pages_where_they_fit() {
    let (m2, g1) = (2 << 20, 1 << 30);
    let pages = |capability: u64, range: core::ops::Range<u64>, to: u64| {
        let mut unit = Unit::new(capability | USUAL | LEVELS[1]);
        let domain = unit.attach(DEVICE, 5);
        let capability = unit.capability;
        domain
            .map(&mut unit, capability, range, to, Rights::ReadWrite)
            .expect("free");
        let sizes: Vec<_> = domain.pages(&unit, 0).map(|it| it.size).collect();
        sizes
    };
    assert_eq!(pages(M2 | G1, g1..2 * g1, 4 * g1), [g1]);
    assert_eq!(pages(M2, g1..g1 + 2 * m2, 4 * g1), [m2, m2]);
    assert_eq!(pages(0, m2..m2 + 0x2000, 0), [0x1000, 0x1000]);
    // The physical address must be aligned too.
    assert_eq!(pages(M2, m2..m2 + 0x2000, 0x1000).len(), 2);
    assert_eq!(pages(M2 | G1, g1..2 * g1, m2).len(), 512);
    let mixed = pages(M2, m2 - 0x1000..2 * m2 + 0x1000, m2 - 0x1000);
    assert_eq!(mixed, [0x1000, m2, 0x1000]);
}

#[test]
fn invalid_ranges_are_rejected() {
    let mut unit = Unit::new(USUAL & !(0x3f << 16) | 37 << 16 | LEVELS[0] | M2);
    let domain = unit.attach(DEVICE, 5);
    let capability = unit.capability;
    let rights = Rights::Read;
    let mut map = |range, to| domain.map(&mut unit, capability, range, to, rights);
    assert_eq!(map(0x1000..0x1000, 0), Err(MapError::Range));
    assert_eq!(map(0x1800..0x2000, 0), Err(MapError::Range));
    assert_eq!(map(0x1000..0x2800, 0), Err(MapError::Range));
    assert_eq!(map(0x1000..0x2000, 0x10), Err(MapError::Range));
    assert_eq!(map(0x1000..0x2000, 1 << 52), Err(MapError::Range));
    // The unit translates 38 bits, the tables 39.
    assert_eq!(map((1 << 38) - PAGE..1 << 38, 0), Ok(()));
    assert_eq!(map(1 << 38..(1 << 38) + PAGE, 0), Err(MapError::Range));
    // All or nothing.
    assert_eq!(map(0x20_0000..0x40_0000, 0), Ok(()));
    assert_eq!(
        map(0x1f_f000..0x20_1000, 0),
        Err(MapError::Mapped(0x20_0000))
    );
    assert_eq!(domain.translate(&unit, 0x1f_f000), None);
    let mut unmap = |range| domain.unmap(&mut unit, capability, range);
    assert_eq!(
        unmap(0x20_0000..0x20_1000),
        Err(MapError::NotMapped(0x20_0000))
    );
    assert_eq!(
        unmap(0x20_0000..0x40_1000),
        Err(MapError::NotMapped(0x40_0000))
    );
    assert_eq!(unmap(0x20_0000..0x40_0000), Ok(()));
    // The table of the last level that the next pages need remains, so there is no large page.
    unit.left = 1;
    let mut map = |range, to| domain.map(&mut unit, capability, range, to, rights);
    assert_eq!(map(0x60_1000..0x60_2000, 0), Ok(()));
    assert_eq!(map(0x80_1000..0x80_2000, 0), Err(MapError::NoMemory));
    assert_eq!(map(0x20_0000..0x40_0000, 0), Ok(()));
}

/// Interrupts keep arriving while a line moves, and are delivered by the new entry at once.
#[test]
fn an_interrupt_entry_changes_without_a_gap() {
    for caching in [0, CACHING] {
        let mut unit = Unit::new(caching | USUAL | LEVELS[1]);
        let (table, capability) = (unit.interrupts, unit.capability);
        assert_eq!(unit.interrupt(DEVICE, 7), None);
        for cpu in 0..300 {
            let entry = irte(0x30 + (cpu % 0x80) as u8, cpu);
            table
                .set(&mut unit, capability, 7, Some(entry))
                .expect("an entry");
            assert_eq!(unit.interrupt(DEVICE, 7), Some(entry));
            assert_eq!(unit.interrupt(OTHER, 7), None, "another source");
        }
        // Another source cannot be replaced in one write.
        let entry = Irte {
            accepts: Accepts::Buses { first: 2, last: 3 },
            ..irte(0x50, 1)
        };
        table
            .set(&mut unit, capability, 7, Some(entry))
            .expect("an entry");
        assert_eq!(unit.interrupt(DEVICE, 7), None);
        assert_eq!(unit.interrupt(OTHER, 7), Some(entry));
        table.set(&mut unit, capability, 7, None).expect("an entry");
        assert_eq!(unit.interrupt(OTHER, 7), None);
        let beyond = table.set(&mut unit, capability, 256, Some(entry));
        assert_eq!(beyond, Err(EntryError::Index(256)));
    }
}

/// Without memory for a context table, nothing is changed.
#[test]
fn no_memory_for_a_context_table() {
    let mut unit = Unit::new(USUAL | LEVELS[1]);
    let (capability, root) = (unit.capability, unit.root);
    unit.left = 0;
    let context = Context {
        page_table: 0x9000,
        levels: Levels::Four,
        domain: crate::vtd::DomainId(1),
        device_tlb: false,
        silent: false,
    };
    let result = table::set_context(&mut unit, capability, root, DEVICE, Some(context));
    assert_eq!(result, Err(TableError::NoMemory));
    assert_eq!(table::context(&unit, root, DEVICE), None);
    assert_eq!(
        table::set_context(&mut unit, capability, root, DEVICE, None),
        Ok(())
    );
}

/// A page table as a list of pages.
#[derive(Default)]
struct Reference(BTreeMap<u64, (u64, Rights)>);

impl Reference {
    fn page(&self, address: u64) -> Option<(u64, Rights)> {
        self.0.get(&(address / PAGE)).copied()
    }
}

/// A map (`to` is the physical page) or unmap of some pages.
#[derive(Clone, Debug)]
struct Step {
    first: u64,
    count: u64,
    to: Option<u64>,
    rights: Rights,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let first = prop_oneof![1..40_u64, 500..530_u64, Just(512), Just(1024)];
    let count = prop_oneof![1..8_u64, Just(512), Just(513)];
    let to = proptest::option::of(prop_oneof![0..2048_u64, Just(512), Just(1024)]);
    let rights = prop_oneof![
        Just(Rights::Read),
        Just(Rights::Write),
        Just(Rights::ReadWrite)
    ];
    let step = (first, count, to, rights).prop_map(|(first, count, to, rights)| Step {
        first,
        count,
        to,
        rights,
    });
    proptest::collection::vec(step, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// After every step, the unit translates exactly what is mapped.
    #[test]
    fn any_sequence_of_steps(steps in steps(), kind in 0..18_usize) {
        let capability = capabilities().nth(kind).expect("18 combinations");
        let mut unit = Unit::new(capability);
        let domain = unit.attach(DEVICE, 5);
        let mut reference = Reference::default();
        for step in steps {
            apply(&mut unit, &domain, &mut reference, &step);
            for page in (0..48).chain(500..540).chain(1020..1030) {
                let address = page * PAGE + 0x10;
                for write in [false, true] {
                    let found = unit.access(DEVICE, address, write);
                    let expected = reference.page(address).filter(|(_, rights)| {
                        if write { rights.writes() } else { rights.reads() }
                    });
                    prop_assert_eq!(found, expected.map(|(to, _)| to * PAGE + 0x10));
                }
            }
            let listed: u64 = domain.pages(&unit, 0).map(|it: Mapped| it.size / PAGE).sum();
            prop_assert_eq!(listed, reference.0.len() as u64);
        }
    }

}

proptest! {
    /// A block contains the pages, and is no larger than needed for its alignment.
    #[test]
    fn blocks_contain_their_pages(first in 0..1_u64 << 40, count in 1..5000_u64) {
        let (address, mask) = Command::block(first * PAGE, count, 52).expect("a block");
        let block = address / PAGE..address / PAGE + (1 << mask);
        prop_assert!(address.is_multiple_of(PAGE << mask));
        prop_assert!(block.contains(&first) && block.contains(&(first + count - 1)));
        let half = 1_u64 << mask >> 1;
        prop_assert!(mask == 0 || first / half != (first + count - 1) / half);
        prop_assert_eq!(Command::block(first * PAGE, count, mask), Some((address, mask)));
        prop_assert_eq!(mask.checked_sub(1).and_then(|most| Command::block(first * PAGE, count, most)), None);
    }
}

fn apply(unit: &mut Unit, domain: &Tables, reference: &mut Reference, step: &Step) {
    let Step {
        first,
        count,
        to,
        rights,
    } = *step;
    let capability = unit.capability;
    let range = first * PAGE..(first + count) * PAGE;
    let pages = first..first + count;
    let used = pages
        .clone()
        .filter(|page| reference.0.contains_key(page))
        .count() as u64;
    if let Some(to) = to {
        let result = domain.map(unit, capability, range, to * PAGE, rights);
        assert_eq!(result.is_ok(), used == 0, "{step:?}: {result:?}");
        if result.is_ok() {
            let mapped = pages.map(|page| (page, (to + page - first, rights)));
            reference.0.extend(mapped);
        }
    } else if domain.unmap(unit, capability, range).is_ok() {
        assert_eq!(used, count, "{step:?}");
        reference.0.retain(|page, _| !pages.contains(page));
    }
}
