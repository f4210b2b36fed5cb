//! Dynamic mappings, created and removed while all CPUs run.
//!
//! They consist of 4 KiB pages, so that each page can change separately. Functions that remove a
//! mapping or some of its rights return when no CPU can use the old ones any more.

use core::ops::Range;

use tocsin_logic::layout::{AddressKind, describe};

use super::MemoryError;
use super::frames::FRAME;
use super::paging::{self, Use};
use super::tables::Leaf;
use super::tlb::{self, Translations};

/// Maps `addresses` to the physical memory that begins at `physical`. The bounds and `physical`
/// must be multiples of 4096.
///
/// Context: thread.
///
/// # Errors
///
/// [`MemoryError`], if frames for tables run out or a page is already mapped; the pages before it
/// in the range then stay mapped.
///
/// # Safety
///
/// The memory must match `usage`, and Rust's aliasing rules must hold under both addresses.
pub unsafe fn map(addresses: Range<u64>, physical: u64, usage: Use) -> Result<(), MemoryError> {
    check(&addresses, physical)?;
    let offset = physical.wrapping_sub(addresses.start);
    // CPUs do not cache non-present entries, so no flush is needed.
    paging::change(|tables| {
        pages(&addresses)
            .try_for_each(|page| paging::map_page(tables, page, page.wrapping_add(offset), usage))
    })
}

/// Removes mappings. Returns when no CPU can access the memory through them. The calling thread
/// must not hold a lock for which other CPUs wait with interrupts disabled.
///
/// Context: thread.
///
/// # Errors
///
/// [`MemoryError`], if a page is not mapped, or is part of a larger page. Then nothing has changed.
///
/// # Safety
///
/// Nothing may use the addresses any more.
pub unsafe fn unmap(addresses: Range<u64>) -> Result<(), MemoryError> {
    check(&addresses, 0)?;
    change_and_flush(&[addresses], Leaf::unmap)
}

/// Like [`unmap`], for pages of the direct map that were mapped to probe an address.
///
/// # Errors
///
/// As [`unmap`].
///
/// # Safety
///
/// As [`unmap`]; the pages must not be memory that the kernel uses.
pub(super) unsafe fn unmap_probed(ranges: &[Range<u64>]) -> Result<(), MemoryError> {
    change_and_flush(ranges, Leaf::unmap)
}

/// Changes the use of mappings. Returns when no CPU has rights to the memory that `usage` does not
/// permit. The calling thread must not hold a lock for which other CPUs wait with interrupts
/// disabled.
///
/// Context: thread.
///
/// # Errors
///
/// [`MemoryError`], if a page is not mapped, or is part of a larger page. Then nothing has changed.
///
/// # Safety
///
/// All code that uses the addresses must be compatible with the new rights, and the memory must
/// match `usage`.
pub unsafe fn protect(addresses: Range<u64>, usage: Use) -> Result<(), MemoryError> {
    check(&addresses, 0)?;
    change_and_flush(&[addresses], |page| page.protect(usage.flags()))
}

/// Changes each page of the ranges, and flushes them from the TLBs of all CPUs in one operation. On
/// an error, the ranges before the one that the error names have changed.
fn change_and_flush(ranges: &[Range<u64>], change: impl Fn(&Leaf)) -> Result<(), MemoryError> {
    // The lock is taken separately for each range, because it disables interrupts.
    let result = ranges.iter().try_for_each(|addresses| {
        paging::change(|tables| {
            let found = |page| {
                let leaf = tables.find(page).filter(Leaf::is_small);
                leaf.ok_or(MemoryError::NotMapped(page))
            };
            // Checked before any change.
            for page in pages(addresses) {
                found(page)?;
            }
            for page in pages(addresses) {
                change(&found(page)?);
            }
            Ok(())
        })
    });
    // After the lock is released, because other CPUs may wait for it with interrupts disabled.
    let starts = ranges.iter().map(|range| range.start);
    let ends = ranges.iter().map(|range| range.end);
    if let (Some(start), Some(end)) = (starts.min(), ends.max()) {
        tlb::flush_all_cpus(&Translations::Of(start..end));
    }
    result
}

fn pages(addresses: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    addresses.clone().step_by(FRAME as usize)
}

/// Whether dynamic mappings are permitted at these addresses: in their region, or in the lower
/// half.
fn check(addresses: &Range<u64>, physical: u64) -> Result<(), MemoryError> {
    let aligned = (addresses.start | addresses.end | physical).is_multiple_of(FRAME);
    if !aligned || addresses.start >= addresses.end {
        return Err(MemoryError::BadRange(addresses.start));
    }
    match [addresses.start, addresses.end - 1].map(describe) {
        [AddressKind::LowerHalf, AddressKind::LowerHalf]
        | [AddressKind::Mapping, AddressKind::Mapping] => Ok(()),
        _ => Err(MemoryError::Reserved(addresses.start)),
    }
}
