//! Memory management: page tables, frames, stacks with guard pages, the heap.
//!
//! Every physical address has one virtual address: the physical address plus `layout::DIRECT_MAP`.
//! Usable memory is mapped there from the start, writable and not executable; device registers and
//! firmware tables are mapped at that same address on request. The direct map excludes the kernel
//! image, because the text and the read-only IDT would have a writable alias there.

pub mod frames;
#[cfg(feature = "heap")]
mod heap;
pub mod mapping;
pub mod paging;
pub(crate) mod probe;
pub mod stacks;
mod tables;
pub mod tlb;

use core::fmt;

use tocsin_logic::layout::{MAPPINGS, describe};
use tocsin_logic::memory_map::RegionKind;

use crate::boot::BootInfo;

#[cfg(feature = "heap")]
pub use heap::usage as heap_usage;

/// The reason why a memory operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryError {
    /// No region below 4 GiB is large enough for the first page tables.
    NoRoomForTables,
    /// No free frame is left, or none of the requested size (in bytes).
    OutOfFrames(u64),
    /// A page at this virtual address is already mapped in a different way.
    AlreadyMapped(u64),
    /// The range at this physical address overlaps the kernel image.
    Image(u64),
    /// The range at this virtual address overlaps addresses that the layout uses: the direct map,
    /// the stacks and their guards, the image, or the first page.
    Reserved(u64),
    /// No 4 KiB page is mapped at this virtual address.
    NotMapped(u64),
    /// A range that is empty, wraps around, is out of bounds, or is not page-aligned where it must
    /// be.
    BadRange(u64),
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoomForTables => {
                f.write_str("no usable region below 4 GiB has room for the page tables")
            }
            Self::OutOfFrames(bytes) => write!(f, "no free block of {bytes} bytes is left"),
            Self::AlreadyMapped(address) => {
                write!(f, "{address:#018x} is mapped already, in another way")
            }
            Self::Image(physical) => {
                write!(f, "{physical:#x} belongs to the kernel")
            }
            Self::Reserved(address) => write!(
                f,
                "memory: {address:#018x}: {} (mappings that come and go belong in the lower half, or \
                 from {MAPPINGS:#x} on)",
                describe(*address)
            ),
            Self::NotMapped(address) => {
                write!(f, "no page of 4 KiB is mapped at {address:#018x}")
            }
            Self::BadRange(address) => {
                write!(f, "the range at {address:#x} is empty or out of bounds")
            }
        }
    }
}

impl core::error::Error for MemoryError {}

/// Builds the kernel's page tables, switches to them, and gives the free memory to the frame
/// allocator, except for the memory that the loader's data still occupies.
///
/// # Errors
///
/// [`MemoryError`], if there is not enough memory for the tables.
///
/// # Safety
///
/// Must be called once, on the boot CPU, on a stack inside the kernel image; the loader's page
/// tables must be active and map the memory that `info` describes.
pub(crate) unsafe fn init(info: &BootInfo) -> Result<(), MemoryError> {
    // SAFETY: Passed on to the caller.
    let used = unsafe { paging::init(info)? };
    for region in info.memory.iter().filter(|region| is_free(region.kind)) {
        // The first tables came from one of the usable regions.
        for (start, end) in without(region.start, region.start + region.length, &used) {
            // SAFETY: The loader reports the region as free, or it is the loader's own memory,
            // which is no longer used: its responses are copied, and its tables and stack are no
            // longer active. It is mapped: the direct map contains every region of these types.
            unsafe { frames::add(start, end) };
        }
    }
    Ok(())
}

/// Whether the kernel may use memory of this type after it has stopped using the loader's data.
fn is_free(kind: RegionKind) -> bool {
    matches!(kind, RegionKind::Usable | RegionKind::BootReclaimable)
}

/// Whether regions of this type are in the direct map from the start.
pub(crate) fn is_memory(kind: RegionKind) -> bool {
    is_free(kind) || matches!(kind, RegionKind::Kernel | RegionKind::AcpiReclaimable)
}

/// The parts of `start..end` below and above `hole`, possibly empty.
fn without(start: u64, end: u64, hole: &core::ops::Range<u64>) -> [(u64, u64); 2] {
    [
        (start, end.min(hole.start).max(start)),
        (start.max(hole.end).min(end), end),
    ]
}
