//! The allocator of device addresses, against a list of the pages in use.

use crate::vtd::iova::Space;
use crate::vtd::{PAGE, pages_of};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn limits() {
    let mut space = Space::new([0_u64; 2]);
    assert_eq!(space.pages(), 128);
    assert_eq!(space.allocate(0, 1, u64::MAX), None);
    assert_eq!(space.allocate(1, 3, u64::MAX), None, "no alignment");
    // Page 0 is never allocated, so 127 pages are left.
    assert_eq!(space.allocate(128, 1, u64::MAX), None);
    assert_eq!(space.allocate(2, 2, u64::MAX), Some(2 * PAGE));
    assert_eq!(space.allocate(1, 1, u64::MAX), Some(PAGE));
    // The limit is the last address.
    assert_eq!(space.allocate(1, 1, 5 * PAGE - 2), None);
    assert_eq!(space.allocate(1, 1, 5 * PAGE - 1), Some(4 * PAGE));
    space.free(2 * PAGE, 2);
    assert_eq!(space.allocate(1, 1, 4 * PAGE - 1), Some(2 * PAGE));
    space.reserve(120, u64::MAX);
    assert_eq!(space.allocate(115, 1, u64::MAX), Some(5 * PAGE));
    space.free(0, 1);
    space.free(u64::MAX, u64::MAX);
    assert_eq!(
        space.allocate(1, 1, 2 * PAGE - 1),
        None,
        "page 0 stays in use"
    );
}

#[test]
fn pages_of_values() {
    assert_eq!(pages_of(0, 8), Some(1));
    assert_eq!(pages_of(512, 8), Some(1));
    assert_eq!(pages_of(513, 8), Some(2));
    // The sizes wrap to 0 and to 8 bytes.
    assert_eq!(pages_of(1 << 61, 8), None);
    assert_eq!(pages_of((1 << 61) + 1, 8), None);
    // The number of bytes is valid, but that of whole pages is not.
    assert_eq!(pages_of(usize::MAX, 1), None);
    let most = u64::MAX / PAGE;
    assert_eq!(pages_of((most * PAGE) as usize, 1), Some(most));
}

proptest! {
    #[test]
    fn any_sequence(
        steps in proptest::collection::vec((1..40_u64, 0..4_u32, any::<bool>(), 0..200_u64), 1..60),
    ) {
        let mut space = Space::new([0_u64; 3]);
        let mut used = BTreeSet::from([0]);
        let mut taken = std::vec::Vec::new();
        for (count, align, frees, limit) in steps {
            if frees && !taken.is_empty() {
                let (first, count) = taken.swap_remove(limit as usize % taken.len());
                space.free(first * PAGE, count);
                used.retain(|page| !(first..first + count).contains(page));
                continue;
            }
            let align = 1_u64 << align;
            let fits = |&first: &u64| {
                let pages = first..first + count;
                pages.end <= limit.min(192) && pages.clone().all(|page| !used.contains(&page))
            };
            let expected = (0..192).step_by(align as usize).find(fits);
            let limit = (limit * PAGE).wrapping_sub(1);
            let found = space.allocate(count, align, if limit == u64::MAX { 0 } else { limit });
            prop_assert_eq!(found, expected.map(|page| page * PAGE));
            if let Some(first) = expected {
                used.extend(first..first + count);
                taken.push((first, count));
            }
        }
    }
}
