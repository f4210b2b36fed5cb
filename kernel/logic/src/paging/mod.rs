//! Splitting of an address range into pages of the largest size that alignment and length permit.

use core::ops::Range;

/// The page sizes of 4-level paging (SDM vol. 3A, 5.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockSize {
    /// 4 KiB, mapped by a page-table entry.
    Page4KiB,
    /// 2 MiB, mapped by a page-directory entry.
    Page2MiB,
    /// 1 GiB, mapped by a page-directory-pointer-table entry, if the processor supports it.
    Page1GiB,
}

impl BlockSize {
    /// The size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        match self {
            Self::Page4KiB => 1 << 12,
            Self::Page2MiB => 1 << 21,
            Self::Page1GiB => 1 << 30,
        }
    }
}

/// One page of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Virtual address of its first byte.
    pub address: u64,
    /// Physical address of its first byte.
    pub physical: u64,
    /// Its size.
    pub size: BlockSize,
}

/// Splits the mapping of `addresses` to physical memory from `physical` on into pages, in ascending
/// order.
///
/// The bounds and `physical` must be multiples of 4 KiB; a remainder below 4 KiB is ignored.
pub fn blocks(
    addresses: Range<u64>,
    physical: u64,
    gigabyte_pages: bool,
) -> impl Iterator<Item = Block> {
    let offset = physical.wrapping_sub(addresses.start);
    let mut next = addresses.start;
    core::iter::from_fn(move || {
        let block = |size: BlockSize| {
            let target = next.wrapping_add(offset);
            let aligned = (next | target) & (size.bytes() - 1) == 0;
            let fits = addresses.end.saturating_sub(next) >= size.bytes();
            (aligned && fits).then_some(Block {
                address: next,
                physical: target,
                size,
            })
        };
        let block = gigabyte_pages
            .then(|| block(BlockSize::Page1GiB))
            .flatten()
            .or_else(|| block(BlockSize::Page2MiB))
            .or_else(|| block(BlockSize::Page4KiB))?;
        next = next.saturating_add(block.size.bytes());
        Some(block)
    })
}

#[cfg(test)]
mod tests;
