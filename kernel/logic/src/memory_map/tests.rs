use super::{MapFull, MemoryMap, PAGE_SIZE, PHYSICAL_LIMIT, Region, RegionKind};
use RegionKind::{AcpiNvs, AcpiReclaimable, Bad, BootReclaimable, Kernel, Reserved, Usable};
use proptest::prelude::*;
use std::string::ToString;
use std::vec::Vec;

fn region(start: u64, length: u64, kind: RegionKind) -> Region {
    Region {
        start,
        length,
        kind,
    }
}

fn map_of(regions: &[Region]) -> MemoryMap {
    let mut map = MemoryMap::new();
    for &region in regions {
        map.push(region).unwrap();
    }
    map
}

fn normalised(regions: &[Region]) -> Vec<Region> {
    let mut map = map_of(regions);
    map.normalise();
    map.iter().copied().collect()
}

/// The memory map of QEMU's q35 with 512 MiB.
const Q35: [Region; 8] = [
    Region {
        start: 0,
        length: 0x9_fc00,
        kind: Usable,
    },
    Region {
        start: 0x9_fc00,
        length: 0x400,
        kind: Reserved,
    },
    Region {
        start: 0xf_0000,
        length: 0x1_0000,
        kind: Reserved,
    },
    Region {
        start: 0x10_0000,
        length: 0x1fed_f000,
        kind: Usable,
    },
    Region {
        start: 0x1ffd_f000,
        length: 0x2_1000,
        kind: Reserved,
    },
    Region {
        start: 0xb000_0000,
        length: 0x1000_0000,
        kind: Reserved,
    },
    Region {
        start: 0xfed1_c000,
        length: 0x4000,
        kind: Reserved,
    },
    Region {
        start: 0xfffc_0000,
        length: 0x4_0000,
        kind: Reserved,
    },
];

#[test]
fn a_pc_map_comes_out_in_whole_pages() {
    assert_eq!(
        normalised(&Q35),
        [
            // The page in which the EBDA begins belongs to it.
            region(0, 0x9_f000, Usable),
            region(0x9_f000, 0x1000, Reserved),
            region(0xf_0000, 0x1_0000, Reserved),
            region(0x10_0000, 0x1fed_f000, Usable),
            region(0x1ffd_f000, 0x2_1000, Reserved),
            region(0xb000_0000, 0x1000_0000, Reserved),
            region(0xfed1_c000, 0x4000, Reserved),
            region(0xfffc_0000, 0x4_0000, Reserved),
        ]
    );
    let mut map = map_of(&Q35);
    map.normalise();
    assert_eq!(map.total(Usable), 0x9_f000 + 0x1fed_f000);
    assert_eq!(map.dropped(), 0);
}

#[test]
fn order_does_not_matter_and_neighbours_become_one() {
    let regions = [
        region(0x3000, 0x1000, Usable),
        region(0x1000, 0x1000, Usable),
        region(0x2000, 0x1000, Usable),
        region(0x5000, 0x1000, Usable),
    ];
    assert_eq!(
        normalised(&regions),
        [
            region(0x1000, 0x3000, Usable),
            region(0x5000, 0x1000, Usable)
        ]
    );
}

#[test]
fn the_more_restrictive_kind_wins() {
    for (n, weak) in RegionKind::ALL.into_iter().enumerate() {
        for strong in RegionKind::ALL.into_iter().skip(n + 1) {
            let around = region(0x1000, 0x4000, weak);
            let inside = region(0x2000, 0x1000, strong);
            let expected = [
                region(0x1000, 0x1000, weak),
                inside,
                region(0x3000, 0x2000, weak),
            ];
            assert_eq!(normalised(&[around, inside]), expected);
            assert_eq!(normalised(&[inside, around]), expected);
            let covered = [region(0x2000, 0x1000, weak), region(0x1000, 0x4000, strong)];
            assert_eq!(normalised(&covered), [region(0x1000, 0x4000, strong)]);
        }
    }
}

#[test]
fn partial_pages_are_lost_to_usable_memory_only() {
    assert_eq!(
        normalised(&[region(0x1800, 0x2000, Usable)]),
        [region(0x2000, 0x1000, Usable)]
    );
    assert_eq!(normalised(&[region(0x1800, 0x1000, Usable)]), []);
    assert_eq!(
        normalised(&[region(0x1fff, 2, AcpiReclaimable)]),
        [region(0x1000, 0x2000, AcpiReclaimable)]
    );
}

#[test]
fn entries_without_sense_are_dropped_and_counted() {
    let mut map = map_of(&[
        region(0x1000, 0, Usable),
        region(u64::MAX, 2, Reserved),
        region(0x1000, u64::MAX, Bad),
        region(PHYSICAL_LIMIT, 0x1000, Reserved),
        region(0x8000, 0x1000, Usable),
    ]);
    map.normalise();
    assert_eq!(map.dropped(), 4);
    assert_eq!(map.iter().count(), 1);
    // Counted once, not on each call.
    map.normalise();
    assert_eq!(map.dropped(), 4);
}

#[test]
fn entries_are_cut_at_the_end_of_physical_memory() {
    for length in [0x2000, 0x2001, u64::MAX - PHYSICAL_LIMIT] {
        let start = PHYSICAL_LIMIT - 0x1000;
        assert_eq!(
            normalised(&[region(start, length, Reserved)]),
            [region(start, 0x1000, Reserved)]
        );
    }
    // An end of exactly 2^64 is not a wrap.
    assert_eq!(
        normalised(&[region(1, u64::MAX, Reserved)]),
        [region(0, PHYSICAL_LIMIT, Reserved)]
    );
}

#[test]
fn a_full_map_says_so_and_its_worst_case_still_fits() {
    let mut map = MemoryMap::new();
    let last = MemoryMap::CAPACITY as u64 - 1;
    map.push(region(0, 0x100_0000, Usable)).unwrap();
    for n in 1..MemoryMap::CAPACITY as u64 {
        map.push(region(n * 0x2000, 0x1000, Reserved)).unwrap();
    }
    assert_eq!(map.push(region(0, 1, Bad)), Err(MapFull));
    assert_eq!(MapFull.to_string(), "the memory map is full: 1280 entries");
    map.normalise();
    // This number of holes splits a region into one more.
    assert_eq!(map.iter().count() as u64, 2 * last + 1);
    assert_eq!(map.total(Reserved), last * 0x1000);
    assert_eq!(map.total(Usable), 0x100_0000 - last * 0x1000);
}

/// A map as on servers: hundreds of entries, most of which merge with the next one.
#[test]
fn pieces_of_one_region_do_not_fill_the_map() {
    let mut map = MemoryMap::new();
    for n in 0..20_000 {
        let kind = if n < 10_000 { Usable } else { Reserved };
        map.push(region(n * 0x1000, 0x1000, kind)).unwrap();
    }
    map.normalise();
    let found: Vec<Region> = map.iter().copied().collect();
    assert_eq!(
        found,
        [
            region(0, 0x271_0000, Usable),
            region(0x271_0000, 0x271_0000, Reserved),
        ]
    );
    // 1,024 entries that are not adjacent, in shuffled order.
    let mut map = MemoryMap::new();
    for n in 0..1024 {
        let n = n * 389 % 1024;
        let kind = if n % 2 == 0 { Usable } else { AcpiNvs };
        map.push(region(n * 0x3000, 0x2000, kind)).unwrap();
    }
    map.normalise();
    assert_eq!(map.iter().count(), 1024);
    assert!(map.iter().is_sorted_by_key(|region| region.start));
}

#[test]
fn a_reservation_that_does_not_fit_changes_nothing() {
    let mut map = MemoryMap::new();
    map.push(region(0, 0x400_0000, Usable)).unwrap();
    for n in 1..MemoryMap::CAPACITY as u64 {
        map.push(region(n * 0x8000, 0x1000, Reserved)).unwrap();
    }
    map.normalise();
    let before: Vec<Region> = map.iter().copied().collect();
    assert_eq!(before.len(), 2 * MemoryMap::CAPACITY - 1);
    // In the middle of a free region: two more pieces.
    assert_eq!(map.reserve(0x3000, 0x1000, Kernel), Err(MapFull));
    assert!(map.iter().eq(&before));
    // At its edge: one more piece.
    assert_eq!(map.reserve(0, 0x1000, Kernel), Ok(()));
    assert_eq!(map.iter().count(), 2 * MemoryMap::CAPACITY);
    assert_eq!(map.reserve(0x9000, 0x1000, Kernel), Err(MapFull));
}

#[test]
fn reservations_come_out_of_usable_memory_only() {
    let mut map = map_of(&[
        region(0x1000, 0x4000, Usable),
        region(0x5000, 0x1000, AcpiNvs),
        region(0x6000, 0x4000, Usable),
        region(0xa000, 0x1000, BootReclaimable),
    ]);
    // Grows to pages 2 to 6.
    map.reserve(0x2fff, 0x3002, Kernel).unwrap();
    assert_eq!(
        map.iter().copied().collect::<Vec<_>>(),
        [
            region(0x1000, 0x1000, Usable),
            region(0x2000, 0x3000, Kernel),
            region(0x5000, 0x1000, AcpiNvs),
            region(0x6000, 0x1000, Kernel),
            region(0x7000, 0x3000, Usable),
            region(0xa000, 0x1000, BootReclaimable),
        ]
    );
    map.reserve(0, 0, Bad).unwrap();
    map.reserve(PHYSICAL_LIMIT + 0x1000, 0x1000, Bad).unwrap();
    map.reserve(u64::MAX, u64::MAX, Bad).unwrap();
    assert_eq!(map.total(Bad), 0);
    map.reserve(0, u64::MAX, Bad).unwrap();
    assert_eq!(map.total(Usable), 0);
    assert_eq!(map.total(BootReclaimable), 0x1000);
}

#[test]
fn kinds_in_words() {
    let names: Vec<_> = RegionKind::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(
        names,
        [
            "usable",
            "boot loader, reclaimable",
            "ACPI, reclaimable",
            "kernel",
            "framebuffer",
            "ACPI NVS",
            "reserved",
            "bad",
        ]
    );
    assert!(RegionKind::ALL.is_sorted());
    assert_eq!(std::format!("{Usable:>8}"), "  usable");
}

const PAGES: usize = 48;

/// The same rules, page by page.
#[derive(Debug)]
struct Model([Option<RegionKind>; PAGES]);

impl Model {
    fn of(regions: &[Region]) -> Self {
        let mut pages = [None; PAGES];
        for (page, kind) in pages.iter_mut().enumerate() {
            let (first, end) = (page as u64 * PAGE_SIZE, (page as u64 + 1) * PAGE_SIZE);
            *kind = regions
                .iter()
                .filter(|r| {
                    if r.kind == Usable {
                        r.start <= first && end <= r.end()
                    } else {
                        r.start < end && first < r.end() && r.length > 0
                    }
                })
                .map(|r| r.kind)
                .max();
        }
        Self(pages)
    }

    fn reserve(&mut self, start: u64, length: u64, kind: RegionKind) {
        for (page, old) in self.0.iter_mut().enumerate() {
            let (first, end) = (page as u64 * PAGE_SIZE, (page as u64 + 1) * PAGE_SIZE);
            if *old == Some(Usable) && length > 0 && start < end && first < start + length {
                *old = Some(kind);
            }
        }
    }

    fn check(&self, map: &MemoryMap) -> Result<(), TestCaseError> {
        for (page, &expected) in self.0.iter().enumerate() {
            let address = page as u64 * PAGE_SIZE;
            let holders: Vec<_> = map
                .iter()
                .filter(|r| (r.start..r.end()).contains(&address))
                .collect();
            prop_assert!(holders.len() <= 1, "page {page} is in two regions");
            prop_assert_eq!(holders.first().map(|r| r.kind), expected, "page {}", page);
        }
        for region in map {
            prop_assert!(region.length > 0);
            prop_assert!(region.start.is_multiple_of(PAGE_SIZE));
            prop_assert!(region.length.is_multiple_of(PAGE_SIZE));
        }
        for pair in map.iter().as_slice().windows(2) {
            prop_assert!(pair[0].end() <= pair[1].start, "out of order");
            let apart = pair[0].end() < pair[1].start || pair[0].kind != pair[1].kind;
            prop_assert!(apart, "neighbours of one kind");
        }
        for kind in RegionKind::ALL {
            let pages = self.0.iter().filter(|&&k| k == Some(kind)).count() as u64;
            prop_assert_eq!(map.total(kind), pages * PAGE_SIZE);
        }
        Ok(())
    }
}

fn any_region() -> impl Strategy<Value = Region> {
    let edge = prop_oneof![
        (0..PAGES as u64).prop_map(|page| page * PAGE_SIZE),
        0..PAGES as u64 * PAGE_SIZE,
    ];
    (
        edge.clone(),
        edge,
        prop::sample::select(RegionKind::ALL.to_vec()),
    )
        .prop_map(|(a, b, kind)| region(a.min(b), a.abs_diff(b), kind))
}

proptest! {
    #[test]
    fn agrees_with_a_model_of_single_pages(
        regions in prop::collection::vec(any_region(), 0..24),
        reservations in prop::collection::vec(any_region(), 0..6),
    ) {
        let mut map = map_of(&regions);
        map.normalise();
        let mut model = Model::of(&regions);
        model.check(&map)?;
        for Region { start, length, kind } in reservations {
            map.reserve(start, length, kind).unwrap();
            model.reserve(start, length, kind);
            model.check(&map)?;
        }
        let before: Vec<Region> = map.iter().copied().collect();
        map.normalise();
        prop_assert!(map.iter().eq(&before), "a second time changes nothing");
    }

    /// Any entries from a boot loader: no panic, no overflow, no overlap.
    #[test]
    fn any_entries_are_accepted(
        entries in prop::collection::vec((any::<u64>(), any::<u64>(), 0_u32..64, 0..8_usize), 0..256),
        start: u64, length: u64,
    ) {
        let mut map = MemoryMap::new();
        for (start, length, shift, kind) in entries {
            map.push(region(start >> shift, length >> shift, RegionKind::ALL[kind])).unwrap();
        }
        map.normalise();
        let _ = map.reserve(start, length, Kernel);
        prop_assert!(map.iter().all(|r| r.length > 0 && r.end() <= PHYSICAL_LIMIT));
        let sorted = map.iter().as_slice().windows(2).all(|pair| pair[0].end() <= pair[1].start);
        prop_assert!(sorted);
    }
}
