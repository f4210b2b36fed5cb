//! The device's queue and its only buffer (Virtual I/O Device 1.2, 2.7).

use core::cell::Cell;
use core::sync::atomic::{Ordering, fence};

use tocsin::hw::mmio::Word;
use tocsin::memory::{MemoryError, frames};

/// The number of entries of the queue, which must be a power of two.
pub(crate) const ENTRIES: u16 = 4;

/// The size of the buffer in bytes.
pub(crate) const BUFFER: u32 = 64;

/// The offsets of the parts of the queue in its page.
const DESCRIPTORS: u64 = 0;
const AVAILABLE: u64 = 0x100;
const USED: u64 = 0x200;

/// The descriptor flag for a buffer that the device writes (2.7.5).
const DEVICE_WRITES: u16 = 2;

/// The two pages whose addresses the device gets: that of the queue and that of the buffer. The
/// drop frees them, so the device must have been reset by then.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Physical addresses; 0 for a page that must not be freed.
    page: u64,
    buffer: u64,
    /// The number of requests.
    made: Cell<u16>,
}

impl Queue {
    pub(crate) fn new() -> Result<Self, MemoryError> {
        let mut queue = Self {
            page: frames::allocate_zeroed_page()?,
            buffer: 0,
            made: Cell::new(0),
        };
        queue.buffer = frames::allocate_zeroed_page()?;
        Ok(queue)
    }

    /// Returns the physical addresses of the descriptors, of the driver area and of the device
    /// area.
    pub(crate) fn addresses(&self) -> [u64; 3] {
        [DESCRIPTORS, AVAILABLE, USED].map(|offset| self.page + offset)
    }

    /// Makes the buffer available to the device, which the caller must notify.
    pub(crate) fn offer(&self) {
        let index = u64::from(self.made.get() % ENTRIES);
        self.store(DESCRIPTORS, self.buffer);
        self.store(DESCRIPTORS + 8, BUFFER);
        self.store(DESCRIPTORS + 12, DEVICE_WRITES);
        self.store(DESCRIPTORS + 14, 0_u16);
        self.store(AVAILABLE + 4 + 2 * index, 0_u16);
        // The device reads an entry only after its index is stored.
        fence(Ordering::SeqCst);
        self.made.set(self.made.get().wrapping_add(1));
        self.store(AVAILABLE + 2, self.made.get());
        fence(Ordering::SeqCst);
    }

    /// Returns whether the device has used the buffer as often as it was made available.
    pub(crate) fn is_done(&self) -> bool {
        self.load::<u16>(USED + 2) == self.made.get()
    }

    /// Returns the number of bytes that the device reports for the last request.
    pub(crate) fn written(&self) -> u32 {
        fence(Ordering::SeqCst);
        let index = u64::from(self.made.get().wrapping_sub(1) % ENTRIES);
        self.load(USED + 4 + 8 * index + 4)
    }

    /// Prevents the drop from freeing the pages.
    pub(crate) fn keep(&mut self) {
        (self.page, self.buffer) = (0, 0);
    }

    fn store<T: Word>(&self, offset: u64, value: T) {
        // SAFETY: The address is within the queue's page, which is in the direct map and which only
        // the driver and the device use.
        unsafe { self.pointer::<T>(offset).write_volatile(value) };
    }

    fn load<T: Word>(&self, offset: u64) -> T {
        // SAFETY: As above. Every bit pattern is a valid `Word`.
        unsafe { self.pointer::<T>(offset).read_volatile() }
    }

    fn pointer<T: Word>(&self, offset: u64) -> *mut T {
        let width = size_of::<T>() as u64;
        assert!(offset.is_multiple_of(width) && offset + width <= frames::FRAME);
        frames::pointer(self.page + offset)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        for page in [self.page, self.buffer] {
            if page != 0 {
                // SAFETY: The page was returned by the allocator. The device has been reset, or
                // never got its address.
                unsafe { frames::free(page, frames::FRAME) };
            }
        }
    }
}
