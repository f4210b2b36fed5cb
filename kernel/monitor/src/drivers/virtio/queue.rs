//! The device's queue and its only buffer (Virtual I/O Device 1.2, 2.7).

use core::cell::Cell;
use core::sync::atomic::{Ordering, fence};

use tocsin::iommu::dma::{Buffer, DmaError};

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

/// The number of 16-bit words of the queue.
const WORDS: usize = 2048;

/// The memory whose addresses the device gets: the queue and the buffer. The device must have been
/// reset before the drop.
#[derive(Debug)]
pub(crate) struct Queue {
    words: Buffer<u16>,
    buffer: Buffer<u16>,
    /// The number of requests.
    made: Cell<u16>,
}

impl Queue {
    /// Creates a queue; `allocate` returns memory of a number of words for the device.
    pub(crate) fn new(
        allocate: impl Fn(usize) -> Result<Buffer<u16>, DmaError>,
    ) -> Result<Self, DmaError> {
        Ok(Self {
            words: allocate(WORDS)?,
            buffer: allocate(BUFFER as usize / 2)?,
            made: Cell::new(0),
        })
    }

    /// Returns the device addresses of the descriptors, of the driver area and of the device area.
    pub(crate) fn addresses(&self) -> [u64; 3] {
        [DESCRIPTORS, AVAILABLE, USED].map(|offset| self.words.address() + offset)
    }

    /// Makes the buffer available to the device, which the caller must notify.
    pub(crate) fn offer(&self) {
        let index = u64::from(self.made.get() % ENTRIES);
        let address = self.buffer.address();
        for (place, shift) in (0..4).zip((0..64).step_by(16)) {
            self.store(DESCRIPTORS + 2 * place, (address >> shift) as u16);
        }
        self.store(DESCRIPTORS + 8, BUFFER as u16);
        self.store(DESCRIPTORS + 10, 0);
        self.store(DESCRIPTORS + 12, DEVICE_WRITES);
        self.store(DESCRIPTORS + 14, 0);
        self.store(AVAILABLE + 4 + 2 * index, 0);
        // The device reads an entry only after its index is stored.
        fence(Ordering::SeqCst);
        self.made.set(self.made.get().wrapping_add(1));
        self.store(AVAILABLE + 2, self.made.get());
        fence(Ordering::SeqCst);
    }

    /// Returns whether the device has used the buffer as often as it was made available.
    pub(crate) fn is_done(&self) -> bool {
        self.load(USED + 2) == self.made.get()
    }

    /// Returns the number of bytes that the device reports for the last request.
    pub(crate) fn written(&self) -> u32 {
        fence(Ordering::SeqCst);
        let index = u64::from(self.made.get().wrapping_sub(1) % ENTRIES);
        let length = USED + 4 + 8 * index + 4;
        u32::from(self.load(length)) | u32::from(self.load(length + 2)) << 16
    }

    fn store(&self, offset: u64, value: u16) {
        self.words.write((offset / 2) as usize, value);
    }

    fn load(&self, offset: u64) -> u16 {
        self.words.read((offset / 2) as usize)
    }
}
