//! Memory-mapped registers: volatile accesses of one width, with bounds checks.
//!
//! A volatile access is ordered only with other volatile accesses. A device may read memory when a
//! register is written, or have written it when a register is read, so each access here is also a
//! compiler barrier. The processor itself keeps stores in order with accesses to uncached memory
//! (SDM vol. 3A, 13.3).

use core::sync::atomic::{Ordering, compiler_fence};

/// Reads the register at a virtual address.
///
/// # Safety
///
/// A device's registers must be mapped there, and the side effects of the read must be intended.
#[inline]
pub(crate) unsafe fn read<T: Word>(address: u64) -> T {
    // SAFETY: Passed on to the caller. Every bit pattern is a `Word`.
    let value = unsafe { (address as *const T).read_volatile() };
    compiler_fence(Ordering::SeqCst);
    value
}

/// Writes the register at a virtual address. Earlier stores are visible to the device.
///
/// # Safety
///
/// A device's registers must be mapped there, and the effects of the write must be intended,
/// including the device's accesses to memory.
#[inline]
pub(crate) unsafe fn write<T: Word>(address: u64, value: T) {
    compiler_fence(Ordering::SeqCst);
    // SAFETY: Passed on to the caller.
    unsafe { (address as *mut T).write_volatile(value) };
    compiler_fence(Ordering::SeqCst);
}

/// Mapped device registers.
///
/// Accesses are volatile, uncached, of exactly the requested width, and in order with each other
/// and with other stores (SDM vol. 3A, 13.3). Handlers may use them.
#[derive(Clone, Copy, Debug)]
pub struct Mmio {
    /// Virtual address.
    start: u64,
    size: u64,
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

impl Mmio {
    /// Context: any.
    ///
    /// # Safety
    ///
    /// `size` bytes at the virtual address `start`, a multiple of 8, must be permanently mapped as
    /// a device's registers. Code that has the value, or a copy of it, may write to them: the
    /// caller must guarantee that the effects on memory are sound.
    #[must_use]
    pub unsafe fn new(start: u64, size: u64) -> Self {
        Self { start, size }
    }

    /// Size of the range, in bytes.
    ///
    /// Context: any.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads the register at `offset`, in bytes from the start.
    ///
    /// Context: any.
    ///
    /// # Panics
    ///
    /// If the register is not within the range, or not at a multiple of its width.
    #[inline]
    #[must_use]
    pub fn read<T: Word>(&self, offset: u64) -> T {
        // SAFETY: The register is within the range, which belongs to a device by the contract of
        // `new`.
        unsafe { read(self.address::<T>(offset)) }
    }

    /// Writes the register at `offset`.
    ///
    /// Context: any.
    ///
    /// # Panics
    ///
    /// As for [`Mmio::read`].
    #[inline]
    pub fn write<T: Word>(&self, offset: u64, value: T) {
        // SAFETY: The register is within the range. The caller of `new` guarantees that it belongs
        // to a device and that the effects of writes are intended.
        unsafe { write(self.address::<T>(offset), value) };
    }

    /// The virtual address of the register at `offset`, for assembly code.
    ///
    /// Context: any.
    ///
    /// # Panics
    ///
    /// As for [`Mmio::read`].
    #[must_use]
    pub fn address<T: Word>(&self, offset: u64) -> u64 {
        let width = size_of::<T>() as u64;
        assert!(
            offset.is_multiple_of(width) && offset < self.size && self.size - offset >= width,
            "no register of {width} bytes at {offset:#x} of {:#x}",
            self.size
        );
        self.start + offset
    }
}
