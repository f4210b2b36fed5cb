//! A device's memory as a driver reads and writes it.

use alloc::sync::Arc;

use super::device::Claim;
use crate::hw::mmio::Mmio;

pub use crate::hw::mmio::Word;

/// The registers behind a base address register. It keeps its device claimed.
///
/// Accesses are those of [`Mmio`]. They may come from handlers.
#[derive(Clone, Debug)]
pub struct Window {
    registers: Mmio,
    _claim: Arc<Claim>,
}

impl Window {
    /// # Safety
    ///
    /// `size` bytes at the virtual address `start` must be mapped as the registers of the claimed
    /// device, for good; `start` must be a multiple of 8.
    pub(super) unsafe fn new(start: u64, size: u64, claim: Arc<Claim>) -> Self {
        Self {
            // SAFETY: 1. Passed on to the caller. 2. The device cannot reach memory unless somebody
            // turns bus mastering on, and vouches for it.
            registers: unsafe { Mmio::new(start, size) },
            _claim: claim,
        }
    }

    /// How many bytes there are.
    ///
    /// Context: any.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.registers.size()
    }

    /// Reads the register at `offset`, in bytes from the start.
    ///
    /// Context: any.
    ///
    /// # Panics
    ///
    /// If the register is not within the window, or not at a multiple of its width.
    #[inline]
    #[must_use]
    pub fn read<T: Word>(&self, offset: u64) -> T {
        self.registers.read(offset)
    }

    /// Writes the register at `offset`. A device with bus mastering off can do nothing to memory;
    /// whoever has turned it on vouches for what is written.
    ///
    /// Context: any.
    ///
    /// # Panics
    ///
    /// As [`Window::read`].
    #[inline]
    pub fn write<T: Word>(&self, offset: u64, value: T) {
        self.registers.write(offset, value);
    }

    /// The virtual address of the register at `offset`; see [`Mmio::address`].
    ///
    /// Context: any.
    #[must_use]
    pub fn address<T: Word>(&self, offset: u64) -> u64 {
        self.registers.address::<T>(offset)
    }
}
