//! Temporary mappings to probe addresses from firmware's tables.
//!
//! Such an address may be wrong. A page that was mapped only to check it must not stay mapped,
//! because it could not be mapped again with the right type.

use alloc::vec::Vec;
use core::ops::Range;

use super::frames::FRAME;
use super::paging::{self, Use};
use super::{MemoryError, mapping};

/// Ranges of the direct map that are unmapped on drop, except pages that were mapped before.
#[derive(Debug, Default)]
pub(crate) struct Probe {
    /// The virtual address of the last range.
    address: u64,
    /// The pages that were not mapped before.
    new: Vec<Range<u64>>,
}

impl Probe {
    /// Maps a range as [`paging::map_physical`] does. Context: thread.
    ///
    /// # Errors
    ///
    /// [`MemoryError`]; then no page stays mapped that was not mapped before.
    ///
    /// # Safety
    ///
    /// Reading the range, or for [`Use::Device`] the caller's accesses to it, must not have
    /// relevant side effects, whatever device or memory is there.
    pub(crate) unsafe fn map(physical: u64, length: u64, usage: Use) -> Result<Self, MemoryError> {
        let mut probe = Self::default();
        // SAFETY: Passed on to the caller.
        unsafe { probe.add(physical, length, usage)? };
        Ok(probe)
    }

    /// Maps another range. Returns its virtual address. Context: thread.
    ///
    /// # Errors
    ///
    /// [`MemoryError`]; earlier ranges stay mapped until the drop.
    ///
    /// # Safety
    ///
    /// As [`Probe::map`].
    pub(crate) unsafe fn add(
        &mut self,
        physical: u64,
        length: u64,
        usage: Use,
    ) -> Result<u64, MemoryError> {
        let new = |page| match self.new.last_mut() {
            Some(range) if range.end == page => range.end += FRAME,
            _ => self.new.push(page..page + FRAME),
        };
        // SAFETY: Passed on to the caller.
        self.address = unsafe { paging::map_physical_with(physical, length, usage, new)? };
        Ok(self.address)
    }

    /// The virtual address of the last range.
    pub(crate) fn address(&self) -> u64 {
        self.address
    }

    /// Keeps the ranges mapped permanently. Returns the virtual address of the last one.
    pub(crate) fn keep(mut self) -> u64 {
        self.new.clear();
        self.address
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // SAFETY: The pages were mapped for this probe, and its owner has no reference to them
        // left.
        let unmapped = unsafe { mapping::unmap_probed(&self.new) };
        debug_assert!(unmapped.is_ok(), "the pages are mapped one by one");
    }
}
