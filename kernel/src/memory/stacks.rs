//! Stacks with guard pages, at addresses that identify their CPU and kind.
//!
//! `tocsin_logic::layout` assigns a slot to each CPU and kind; the page below each stack stays
//! unmapped, so that an overflow faults and does not corrupt the adjacent stack, and the report can
//! name the stack from the address alone.

use tocsin_logic::layout::{StackKind, stack_range};

use super::{MemoryError, frames, paging};

/// Maps all stacks of CPU number `cpu`.
///
/// # Errors
///
/// [`MemoryError`], if frames run out, or the stacks of the CPU are already mapped.
pub(crate) fn allocate(cpu: u32) -> Result<(), MemoryError> {
    for kind in StackKind::ALL {
        paging::map_new(stack_range(cpu, kind))?;
    }
    Ok(())
}

/// Memory that the kernel needs in addition to the stacks of APs, in bytes: for the heap, which
/// grows in smaller increments.
const RESERVE: u64 = 1 << 20;

/// The stacks of a CPU with their page tables, and its share of the heap, in bytes.
pub(crate) const PER_CPU: u64 = {
    let mut bytes = 256 << 10;
    let mut index = 0;
    while index < StackKind::ALL.len() {
        bytes += StackKind::ALL[index].size();
        index += 1;
    }
    bytes
};

/// Checks that there is memory for the stacks and the per-CPU block of a further CPU, with enough
/// left for the rest of the kernel.
///
/// # Errors
///
/// [`MemoryError::OutOfFrames`].
pub(crate) fn require() -> Result<(), MemoryError> {
    frames::require(PER_CPU, RESERVE)
}

/// Maximum use of a stack so far, in bytes: from its top down to the lowest nonzero word; all words
/// were 0 when the stack was mapped.
///
/// Context: any.
#[must_use]
pub fn used(cpu: u32, kind: StackKind) -> u64 {
    let range = stack_range(cpu, kind);
    if !paging::is_mapped(range.start) || !paging::is_mapped(range.end - frames::FRAME) {
        return 0;
    }
    let is_used = |&address: &u64| {
        // SAFETY: The whole stack is mapped. Words may change concurrently; each is read once.
        unsafe { (address as *const u64).read_volatile() != 0 }
    };
    let lowest = range.clone().step_by(8).find(is_used);
    lowest.map_or(0, |address| range.end - address)
}
