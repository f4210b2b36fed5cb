//! The frame allocator: blocks of physical pages, from the `buddy_system_allocator` crate.
//!
//! The free lists are in the free memory itself, accessed through the direct map. Memory below 1
//! MiB is a separate pool, because a CPU can start in real mode only there.

use core::alloc::Layout;
use core::ptr::NonNull;

use buddy_system_allocator::Heap;
use tocsin_logic::layout::DIRECT_MAP;

use super::MemoryError;
use crate::sync::IrqMutex;

/// Size of a page frame, in bytes.
pub const FRAME: u64 = 4096;

/// First address that real mode cannot reach.
const REAL_MODE_END: u64 = 1 << 20;

/// Blocks of up to 2^39 bytes.
type Pool = Heap<40>;

struct Pools {
    low: Pool,
    high: Pool,
}

static POOLS: IrqMutex<Pools> = IrqMutex::new(Pools {
    low: Pool::new(),
    high: Pool::new(),
});

/// Frames of one pool, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Size of all memory in the pool.
    pub total: u64,
    /// Size of the memory in use.
    pub used: u64,
}

/// Adds the free memory from `start` to `end` (physical, page-aligned) to the allocator.
///
/// # Safety
///
/// The range must be usable memory that nothing else uses, and mapped in the direct map.
pub(super) unsafe fn add(start: u64, end: u64) {
    let mut pools = POOLS.lock();
    let boundary = REAL_MODE_END.clamp(start.min(end), end);
    // The frame at 0 is excluded: real-mode code and firmware treat address 0 as "none".
    for (pool_is_low, start, end) in [(true, start.max(FRAME), boundary), (false, boundary, end)] {
        if start < end {
            let pool = if pool_is_low {
                &mut pools.low
            } else {
                &mut pools.high
            };
            let [start, end] = [start, end].map(|address| (DIRECT_MAP + address) as usize);
            // SAFETY: Passed on to the caller.
            unsafe { pool.add_to_heap(start, end) };
        }
    }
}

/// Allocates a block of at least `bytes` bytes (rounded up to a power of two of pages), aligned to
/// its size, with undefined contents. Returns its physical address.
///
/// Context: any but NMI.
///
/// # Errors
///
/// [`MemoryError::OutOfFrames`], if no block of that size is free.
pub fn allocate(bytes: u64) -> Result<u64, MemoryError> {
    let out_of_frames = MemoryError::OutOfFrames(bytes);
    let layout = block_layout(bytes).ok_or(out_of_frames)?;
    let block = POOLS
        .lock()
        .high
        .alloc(layout)
        .map_err(|()| out_of_frames)?;
    Ok(block.as_ptr() as u64 - DIRECT_MAP)
}

/// Like [`allocate`], but below 1 MiB, for real mode.
///
/// Context: any but NMI.
///
/// # Errors
///
/// [`MemoryError::OutOfFrames`], if no block of that size is free there.
pub fn allocate_low(bytes: u64) -> Result<u64, MemoryError> {
    let out_of_frames = MemoryError::OutOfFrames(bytes);
    let layout = block_layout(bytes).ok_or(out_of_frames)?;
    let block = POOLS.lock().low.alloc(layout).map_err(|()| out_of_frames)?;
    Ok(block.as_ptr() as u64 - DIRECT_MAP)
}

/// Allocates one zeroed page. Returns its physical address.
///
/// Context: any but NMI.
///
/// # Errors
///
/// [`MemoryError::OutOfFrames`], if no page is free.
pub fn allocate_zeroed_page() -> Result<u64, MemoryError> {
    let frame = allocate(FRAME)?;
    // SAFETY: The frame is free memory in the direct map, and exclusively owned.
    unsafe { pointer::<u8>(frame).write_bytes(0, FRAME as usize) };
    Ok(frame)
}

/// Frees a block.
///
/// Context: any but NMI.
///
/// # Safety
///
/// `physical` must come from [`allocate`] with the same `bytes`, and nothing may use it any more.
pub unsafe fn free(physical: u64, bytes: u64) {
    let block = NonNull::new(pointer(physical));
    if let (Some(block), Some(layout)) = (block, block_layout(bytes)) {
        // SAFETY: Passed on to the caller.
        unsafe { POOLS.lock().high.dealloc(block, layout) };
    }
}

/// Checks that `bytes` above 1 MiB can be allocated in blocks of up to `reserve` bytes, a power of
/// two, and that a block of `reserve` bytes remains free.
///
/// # Errors
///
/// [`MemoryError::OutOfFrames`] with the size of the failed allocation.
pub(super) fn require(bytes: u64, reserve: u64) -> Result<(), MemoryError> {
    let block = allocate(reserve)?;
    let (_, high) = usage();
    // SAFETY: The block was just allocated with this size, and is unused.
    unsafe { free(block, reserve) };
    if high.total - high.used < bytes {
        return Err(MemoryError::OutOfFrames(bytes));
    }
    Ok(())
}

/// The virtual address of a physical address in the direct map.
///
/// Context: any.
#[must_use]
pub fn pointer<T>(physical: u64) -> *mut T {
    (DIRECT_MAP + physical) as *mut T
}

/// Usage of the pool below 1 MiB and of the one above.
///
/// Context: any but NMI.
#[must_use]
pub fn usage() -> (Usage, Usage) {
    let of = |pool: &Pool| Usage {
        total: pool.stats_total_bytes() as u64,
        used: pool.stats_alloc_actual() as u64,
    };
    let pools = POOLS.lock();
    (of(&pools.low), of(&pools.high))
}

fn block_layout(bytes: u64) -> Option<Layout> {
    let size = usize::try_from(bytes.max(FRAME))
        .ok()?
        .checked_next_power_of_two()?;
    Layout::from_size_align(size, size).ok()
}
