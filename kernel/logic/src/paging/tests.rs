use std::vec::Vec;

use proptest::prelude::*;

use super::{Block, BlockSize, blocks};

#[test]
fn cuts_at_the_alignment_of_both_addresses() {
    let cut: Vec<Block> = blocks(0x1f_f000..0x40_1000, 0x1f_f000, true).collect();
    assert_eq!(
        cut,
        [
            Block {
                address: 0x1f_f000,
                physical: 0x1f_f000,
                size: BlockSize::Page4KiB
            },
            Block {
                address: 0x20_0000,
                physical: 0x20_0000,
                size: BlockSize::Page2MiB
            },
            Block {
                address: 0x40_0000,
                physical: 0x40_0000,
                size: BlockSize::Page4KiB
            },
        ]
    );
}

#[test]
fn large_pages_need_equal_alignment() {
    assert!(
        blocks(0..0x40_0000, 0x1000, true).all(|block| block.size == BlockSize::Page4KiB),
        "an offset of one page leaves no larger page possible"
    );
}

#[test]
fn gigabyte_pages_only_where_allowed() {
    let range = 0..1 << 30;
    assert_eq!(blocks(range.clone(), 0, true).count(), 1);
    assert_eq!(blocks(range, 0, false).count(), 512);
}

proptest! {
    // A case may have 500,000 pages.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn covers_the_range_once_and_in_order(
        start in 0u64..1 << 19,
        physical in 0u64..1 << 19,
        pages in 0u64..1 << 19,
        gigabyte_pages: bool,
    ) {
        let [start, physical, length] = [start << 12, physical << 12, pages << 12];
        let mut next = start;
        for block in blocks(start..start + length, physical, gigabyte_pages) {
            prop_assert_eq!(block.address, next);
            prop_assert_eq!(block.physical, next - start + physical);
            prop_assert_eq!(block.address % block.size.bytes(), 0);
            prop_assert_eq!(block.physical % block.size.bytes(), 0);
            prop_assert!(gigabyte_pages || block.size != BlockSize::Page1GiB);
            next += block.size.bytes();
        }
        prop_assert_eq!(next, start + length);
    }
}
