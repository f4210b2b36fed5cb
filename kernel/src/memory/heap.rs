//! The kernel heap: the `talc` crate, fed with frames as it grows.
//!
//! Nothing on the interrupt path allocates; the lock masks interrupts all the same, so that
//! a handler which does allocate is slow but not stuck.

use core::alloc::Layout;

use talc::DefaultBinning;
use talc::base::Talc;
use talc::base::binning::Binning;
use talc::source::Source;
use talc::sync::TalcLock;

use super::frames;
use crate::sync::RawIrqMutex;

/// Least number of bytes the heap grows by.
const GROWTH: u64 = 256 * 1024;

/// Where the heap gets memory: from the frame allocator, for ever.
#[derive(Debug)]
struct Frames;

// SAFETY: 1. `acquire` uses the frame allocator only, never the heap itself.
unsafe impl Source for Frames {
    fn acquire<B: Binning>(talc: &mut Talc<Self, B>, layout: Layout) -> Result<(), ()> {
        // Room for the request at its alignment, and for the heap's own headers.
        let need = layout.size() + layout.align() + 4096;
        let bytes = (need as u64).max(GROWTH).next_power_of_two();
        let block = frames::allocate(bytes).map_err(|_| ())?;
        // SAFETY: 1. The block is mapped, writable memory that is given to the heap for good.
        unsafe { talc.claim(frames::pointer(block), bytes as usize) }
            .map(|_| ())
            .ok_or(())
    }
}

// The host checks and documents this library for its own target, where std has an allocator.
#[cfg_attr(target_os = "none", global_allocator)]
static HEAP: TalcLock<RawIrqMutex, Frames, DefaultBinning> = TalcLock::new(Frames);

/// Bytes that the heap has from the frame allocator, and how many of them are handed out.
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
