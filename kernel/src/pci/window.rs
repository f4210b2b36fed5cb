//! Mapped device memory.

use alloc::sync::Arc;

use super::device::Claim;
use crate::hw::mmio::Mmio;

pub use crate::hw::mmio::Word;

/// The registers behind a base address register. The device stays claimed while the window exists.
///
/// Accesses are those of [`Mmio`]. Handlers may use them.
#[derive(Clone, Debug)]
pub struct Window {
    registers: Mmio,
    _claim: Arc<Claim>,
}

impl Window {
    /// # Safety
    ///
    /// `size` bytes at the virtual address `start` must be permanently mapped as the registers of
    /// the claimed device; `start` must be a multiple of 8.
    pub(super) unsafe fn new(start: u64, size: u64, claim: Arc<Claim>) -> Self {
        Self {
            // SAFETY: Passed on to the caller. The device cannot access memory until its driver
            // enables bus mastering, and that driver then guarantees that its accesses are sound.
            registers: unsafe { Mmio::new(start, size) },
            _claim: claim,
        }
    }

    /// Size of the window, in bytes.
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

    /// Writes the register at `offset`. A device with bus mastering disabled cannot access memory;
    /// the driver that enabled it is responsible for the values written.
    ///
    /// Context: any.
    ///
    /// # Panics
    ///
    /// As for [`Window::read`].
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
