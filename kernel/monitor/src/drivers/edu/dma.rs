//! The `edu` device's DMA: transfers between memory and 4 KiB in the device.

use core::fmt;

use super::{Edu, TIMEOUT, register};
use tocsin::iommu::{self, State, dma};
use tocsin::time;

/// The highest address that the device can access.
pub const LIMIT: u64 = (1 << 28) - 1;

/// The address of the device's memory of 4 KiB in transfers.
const DEVICE_MEMORY: u64 = 0x4_0000;

/// Bit 0 of the DMA command: start. Bit 1: from the device to memory.
const START: u32 = 1;
/// See [`START`].
const TO_MEMORY: u32 = 2;

/// The direction of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The device reads memory.
    FromMemory,
    /// The device writes memory.
    ToMemory,
}

/// The reason why there was no transfer.
#[derive(Clone, Copy, Debug)]
pub enum TransferError {
    /// No IOMMU restricts the device, so a transfer could overwrite any memory.
    Unrestricted,
    /// The device did not end the transfer in time.
    Timeout,
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unrestricted => "no IOMMU restricts the device",
            Self::Timeout => "the device did not end a transfer in time",
        })
    }
}

impl core::error::Error for TransferError {}

impl Edu {
    /// A buffer for transfers of this device.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`dma::DmaError`].
    pub fn buffer(
        &self,
        length: usize,
        access: dma::Access,
    ) -> Result<dma::Buffer<u8>, dma::DmaError> {
        dma::Buffer::new(&self.device, length, access, LIMIT)
    }

    /// Transfers `length` bytes between a device address and the beginning of the device's memory.
    /// The address may be any: the IOMMU blocks what does not belong to the device.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`TransferError`]. A blocked transfer is none: the device does not notice it.
    pub fn transfer(
        &self,
        direction: Direction,
        address: u64,
        length: u64,
    ) -> Result<(), TransferError> {
        let source = self.device.source();
        let unit = iommu::unit_of(self.device.address.segment(), source);
        if !unit.is_some_and(|unit| unit.state() == State::On) {
            return Err(TransferError::Unrestricted);
        }
        let (from, to, bits) = match direction {
            Direction::FromMemory => (address, DEVICE_MEMORY, START),
            Direction::ToMemory => (DEVICE_MEMORY, address, START | TO_MEMORY),
        };
        self.registers.write(register::DMA_SOURCE, from);
        self.registers.write(register::DMA_DESTINATION, to);
        self.registers.write(register::DMA_COUNT, length);
        self.registers.write(register::DMA_COMMAND, bits);
        let is_over = || self.registers.read::<u32>(register::DMA_COMMAND) & START == 0;
        if time::wait_until(TIMEOUT, is_over) {
            Ok(())
        } else {
            Err(TransferError::Timeout)
        }
    }
}
