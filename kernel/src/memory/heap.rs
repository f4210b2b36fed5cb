//! The kernel heap: the `talc` crate, which grows by frames from the frame allocator.
//!
//! No code on the interrupt path allocates. The lock masks interrupts nevertheless, so that a
//! handler that allocates is slow but does not deadlock.

use core::alloc::Layout;

use talc::DefaultBinning;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;
use talc::sync::TalcLock;

use super::frames;
use crate::sync::RawIrqMutex;

/// Minimum increment of the heap, in bytes.
const GROWTH: u64 = 256 * 1024;

/// The source of heap memory: frames that are never returned.
#[derive(Debug)]
struct Frames;

// SAFETY: `acquire` uses only the frame allocator, never the heap itself.
unsafe impl Source for Frames {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        // Space for the request at its alignment, and for the heap's own headers.
        let need = layout.size() + layout.align() + 4096;
        let bytes = (need as u64).max(GROWTH).next_power_of_two();
        let block = frames::allocate(bytes).map_err(|_| ())?;
        // SAFETY: The block is mapped, writable memory that the heap owns permanently.
        unsafe { talc.claim(frames::pointer(block), bytes as usize) }
            .map(|_| ())
            .ok_or(())
    }
}

// The host checks and documents this library for its own target, where std provides an allocator.
#[cfg_attr(target_os = "none", global_allocator)]
static HEAP: TalcLock<RawIrqMutex, Frames, DefaultBinning> = TalcLock::new(Frames);

/// Number of bytes that the heap has from the frame allocator, and number of allocated bytes.
///
/// Context: any but NMI.
#[must_use]
pub fn usage() -> frames::Usage {
    let heap = HEAP.lock();
    let counters = heap.counters();
    frames::Usage {
        total: counters.claimed_bytes as u64,
        used: counters.allocated_bytes as u64,
    }
}
