//! Registers in memory: volatile accesses of one width, with bounds.

/// Device registers that are mapped.
///
/// Accesses are volatile, uncached, of exactly the width asked for, and in order (SDM vol. 3A,
/// 13.3). They may come from handlers.
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
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads the register at `offset`, in bytes from the start.
    ///
    /// # Panics
    ///
    /// If the register is not within the range, or not at a multiple of its width.
    #[inline]
    #[must_use]
    pub fn read<T: Word>(&self, offset: u64) -> T {
        let place = self.address::<T>(offset) as *const T;
        // SAFETY: 1. The place is mapped, aligned, and a device's. 2. Every bit pattern is a `Word`.
        unsafe { place.read_volatile() }
    }

    /// Writes the register at `offset`.
    ///
    /// # Panics
    ///
    /// As [`Mmio::read`].
    #[inline]
    pub fn write<T: Word>(&self, offset: u64, value: T) {
        let place = self.address::<T>(offset) as *mut T;
        // SAFETY: 1. The place is mapped, aligned, and a device's. 2. Whoever made this value vouches for
        // what the device does.
        unsafe { place.write_volatile(value) };
    }

    /// The virtual address of the register at `offset`, for code in assembly.
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
