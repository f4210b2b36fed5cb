//! Mappings that come and go while all CPUs run.
//!
//! They are made of pages of 4 KiB, so that each page can change alone. What takes a mapping or some of
//! its rights away returns when no CPU can use the old one any more.

use core::ops::Range;

use x86_64::VirtAddr;
use x86_64::structures::paging::mapper::{MappedFrame, MapperFlush, TranslateResult};
use x86_64::structures::paging::{Mapper, OffsetPageTable, Page, Size4KiB, Translate};

use super::MemoryError;
use super::frames::FRAME;
use super::paging::{self, Use};
use super::tlb::{self, Translations};

/// Maps `addresses` to the physical memory that begins at `physical`. Bounds and `physical` are
/// multiples of 4096. In a thread.
///
/// # Errors
///
/// [`MemoryError`], if frames for tables run out or a page is mapped already; pages before it in the
/// range then stay mapped.
///
/// # Safety
///
/// The memory must be what `usage` says, and Rust's rules for it must hold under both addresses.
pub unsafe fn map(addresses: Range<u64>, physical: u64, usage: Use) -> Result<(), MemoryError> {
    check(&addresses, physical)?;
    let offset = physical.wrapping_sub(addresses.start);
    // No CPU caches that a page is absent, so nobody must be told.
    paging::change(|mapper, tables| {
        for page in pages(&addresses) {
            let frame = page.wrapping_add(offset);
            paging::map(mapper, tables, page..page + FRAME, frame, usage)?;
        }
        Ok(())
    })
}

/// Takes mappings away. Returns when no CPU can reach the memory through them. In a thread that holds no
/// lock which others want with their interrupts off.
///
/// # Errors
///
/// [`MemoryError`], if a page is not mapped, or by a larger one. Then nothing has changed.
///
/// # Safety
///
/// Nothing may use the addresses any more.
pub unsafe fn unmap(addresses: Range<u64>) -> Result<(), MemoryError> {
    tighten(addresses, |mapper, page| {
        // That the others must be told is for `tighten`.
        mapper.unmap(page).map(|(_, flush)| flush.ignore()).is_ok()
    })
}

/// Changes what mappings are for. Returns when no CPU has rights to the memory that `usage` does not give.
/// In a thread that holds no lock which others want with their interrupts off.
///
/// # Errors
///
/// [`MemoryError`], if a page is not mapped, or by a larger one. Then nothing has changed.
///
/// # Safety
///
/// What uses the addresses must get along with the new rights, and the memory must be what `usage` says.
pub unsafe fn protect(addresses: Range<u64>, usage: Use) -> Result<(), MemoryError> {
    tighten(addresses, |mapper, page| {
        // SAFETY: 1. Passed on to the caller.
        let changed = unsafe { mapper.update_flags(page, usage.flags()) };
        // That the others must be told is for `tighten`.
        changed.map(MapperFlush::ignore).is_ok()
    })
}

/// Changes each page of a range, and tells all CPUs.
fn tighten(
    addresses: Range<u64>,
    mut change: impl FnMut(&mut OffsetPageTable<'_>, Page<Size4KiB>) -> bool,
) -> Result<(), MemoryError> {
    check(&addresses, 0)?;
    paging::change(|mapper, _| {
        // Before anything changes.
        for page in pages(&addresses) {
            let found = mapper.translate(VirtAddr::new_truncate(page));
            let TranslateResult::Mapped {
                frame: MappedFrame::Size4KiB(_),
                ..
            } = found
            else {
                return Err(MemoryError::NotMapped(page));
            };
        }
        for page in pages(&addresses) {
            let changed = change(
                mapper,
                Page::containing_address(VirtAddr::new_truncate(page)),
            );
            assert!(changed, "a page that was there is gone, under the lock");
        }
        Ok(())
    })?;
    // After the lock: others may want it with their interrupts off.
    tlb::forget_everywhere(&Translations::Of(addresses));
    Ok(())
}

fn pages(addresses: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    addresses.clone().step_by(FRAME as usize)
}

fn check(addresses: &Range<u64>, physical: u64) -> Result<(), MemoryError> {
    let aligned = (addresses.start | addresses.end | physical).is_multiple_of(FRAME);
    if aligned && addresses.start < addresses.end && VirtAddr::try_new(addresses.start).is_ok() {
        Ok(())
    } else {
        Err(MemoryError::BadRange(addresses.start))
    }
}
