//! The device's queue and the one buffer that goes through it (Virtual I/O Device 1.2, 2.7).

use core::cell::Cell;
use core::sync::atomic::{Ordering, fence};

use tocsin::hw::mmio::Word;
use tocsin::memory::{MemoryError, frames};

/// Entries of the queue; a power of two.
pub(crate) const ENTRIES: u16 = 4;

/// Bytes of the buffer.
pub(crate) const BUFFER: u32 = 64;

/// Where the parts of the queue lie in its page.
const DESCRIPTORS: u64 = 0;
const AVAILABLE: u64 = 0x100;
const USED: u64 = 0x200;

/// A descriptor's flag: the device writes there (2.7.5).
const DEVICE_WRITES: u16 = 2;

/// Two pages that the device is told of: the queue's, and the buffer's. Given back when dropped, so
/// the device must have been reset by then.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Physical addresses; 0 for what is not to be given back.
    page: u64,
    buffer: u64,
    /// Requests made.
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

    /// Physical addresses of the descriptors, of what the driver writes, of what the device writes.
    pub(crate) fn addresses(&self) -> [u64; 3] {
        [DESCRIPTORS, AVAILABLE, USED].map(|offset| self.page + offset)
    }

    /// Offers the buffer to the device, which is to be told then.
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

    /// Whether the device has used the buffer as often as it was offered.
    pub(crate) fn is_done(&self) -> bool {
        self.load::<u16>(USED + 2) == self.made.get()
    }

    /// How many bytes the device says it wrote the last time.
    pub(crate) fn written(&self) -> u32 {
        fence(Ordering::SeqCst);
        let index = u64::from(self.made.get().wrapping_sub(1) % ENTRIES);
        self.load(USED + 4 + 8 * index + 4)
    }

    /// Does not give the pages back.
    pub(crate) fn keep(&mut self) {
        (self.page, self.buffer) = (0, 0);
    }

    fn store<T: Word>(&self, offset: u64, value: T) {
        // SAFETY: 1. The place is within our page, which the direct map shows, and which only this and
        // the device use.
        unsafe { self.place::<T>(offset).write_volatile(value) };
    }

    fn load<T: Word>(&self, offset: u64) -> T {
        // SAFETY: 1. As above. 2. Every bit pattern is a `Word`.
        unsafe { self.place::<T>(offset).read_volatile() }
    }

    fn place<T: Word>(&self, offset: u64) -> *mut T {
        let width = size_of::<T>() as u64;
        assert!(offset.is_multiple_of(width) && offset + width <= frames::FRAME);
        frames::pointer(self.page + offset)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        for page in [self.page, self.buffer] {
            if page != 0 {
                // SAFETY: 1. It came from the allocator. 2. The device has been reset, or never knew.
                unsafe { frames::free(page, frames::FRAME) };
            }
        }
    }
}
