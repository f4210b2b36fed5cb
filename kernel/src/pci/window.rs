//! A device's memory as a driver reads and writes it.

use alloc::sync::Arc;

use super::device::Claim;

/// The registers behind a base address register. It keeps its device claimed.
///
/// Accesses are volatile, uncached, of exactly the width asked for, and in order (SDM vol. 3A,
/// 13.3). They may come from handlers.
#[derive(Clone, Debug)]
pub struct Window {
    /// Virtual address.
    start: u64,
    size: u64,
    _claim: Arc<Claim>,
}

/// The widths in which registers can be accessed.
pub trait Word: Copy + sealed::Sealed {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! words {
    ($($word:ty),+) => {
        $(
            impl sealed::Sealed for $word {}
            impl Word for $word {}
        )+
    };
}

words!(u8, u16, u32, u64);

impl Window {
    /// # Safety
    ///
    /// `size` bytes at the virtual address `start` must be mapped as the registers of the claimed
    /// device, for good; `start` must be a multiple of 8.
    pub(super) unsafe fn new(start: u64, size: u64, claim: Arc<Claim>) -> Self {
        Self {
            start,
            size,
            _claim: claim,
        }
    }

    /// How many bytes there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads the register at `offset`, in bytes from the start.
    ///
    /// # Panics
    ///
    /// If the register is not within the window, or not at a multiple of its width.
    #[inline]
    #[must_use]
    pub fn read<T: Word>(&self, offset: u64) -> T {
        let place = self.place::<T>(offset) as *const T;
        // SAFETY: 1. The place is mapped, aligned, and the claimed device's. 2. Every bit pattern is a
        // `Word`.
        unsafe { place.read_volatile() }
    }

    /// Writes the register at `offset`. A device with bus mastering off can do nothing to memory;
    /// whoever has turned it on vouches for what is written.
    ///
    /// # Panics
    ///
    /// As [`Window::read`].
    #[inline]
    pub fn write<T: Word>(&self, offset: u64, value: T) {
        let place = self.place::<T>(offset) as *mut T;
        // SAFETY: 1. The place is mapped, aligned, and the claimed device's. 2. The device cannot
        // reach memory unless somebody has vouched for it.
        unsafe { place.write_volatile(value) };
    }

    fn place<T>(&self, offset: u64) -> u64 {
        let width = size_of::<T>() as u64;
        assert!(
            offset.is_multiple_of(width) && offset < self.size && self.size - offset >= width,
            "no register of {width} bytes at {offset:#x} of {:#x}",
            self.size
        );
        self.start + offset
    }
}
