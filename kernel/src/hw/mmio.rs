//! Registers in memory: volatile accesses of one width, with bounds.
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
    // SAFETY: passed on to the caller. Every bit pattern is a `Word`.
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
    // SAFETY: passed on to the caller.
    unsafe { (address as *mut T).write_volatile(value) };
    compiler_fence(Ordering::SeqCst);
}

/// Device registers that are mapped.
///
/// Accesses are volatile, uncached, of exactly the requested width, and in order with each other
/// and with other stores (SDM vol. 3A, 13.3). They may be made in handlers.
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
    /// `size` bytes at the virtual address `start`, a multiple of 8, must be mapped as a device's
    /// registers, for good. Whoever has the value, or a copy of it, may write to them: what that does
    /// to memory is for the one who makes it to vouch for.
    #[must_use]
    pub unsafe fn new(start: u64, size: u64) -> Self {
        Self { start, size }
    }

    /// How many bytes there are.
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
        // SAFETY: the register is within the range, which belongs to a device by the contract of
        // `new`.
        unsafe { read(self.address::<T>(offset)) }
    }

    /// Writes the register at `offset`.
    ///
    /// Context: any.
    ///
    /// # Panics
    ///
    /// As [`Mmio::read`].
    #[inline]
    pub fn write<T: Word>(&self, offset: u64, value: T) {
        // SAFETY: the register is within the range. The caller of `new` guarantees that it belongs
        // to a device and that the effects of writes are intended.
        unsafe { write(self.address::<T>(offset), value) };
    }

    /// The virtual address of the register at `offset`, for code in assembly.
    ///
    /// Context: any.
    ///
    /// # Panics
    ///
    /// As [`Mmio::read`].
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
