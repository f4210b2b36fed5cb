//! Random maps, compared with a model that has one kind for each page.

use super::{map_of, region};
use crate::memory_map::{MemoryMap, PAGE_SIZE, PHYSICAL_LIMIT, Region, RegionKind};
use RegionKind::{Kernel, Usable};
use proptest::prelude::*;
use std::vec::Vec;

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
    fn any_entries_normalise_without_overlap(
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
