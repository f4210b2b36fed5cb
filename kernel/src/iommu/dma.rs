//! Memory for DMA.
//!
//! A driver allocates a [`Buffer`] for its device, writes the buffer's [device
//! address](Buffer::address) to the device, and reads and writes the memory through the buffer.
//! With an IOMMU, the device can access only the buffers of its own driver, and a device address is
//! not a physical address. Without one, it is.
//!
//! The memory is coherent: CPUs and devices see each other's writes in order (SDM vol. 3A, 10.2).
//! The accesses here and those of registers are executed in program order.

use core::fmt;
use core::marker::PhantomData;

use tocsin_logic::vtd::{PAGE, pages_of};

use super::domain::{self, Domain};
use super::error::IommuError;
use super::unit::{State, Unit, unit_of};
use crate::hw::mmio::{self, Word};
use crate::memory::frames;
use crate::pci::{Device, Hold};

/// The accesses of the device that a buffer permits.
pub use tocsin_logic::vtd::mapping::Rights as Access;

/// The reason why there is no buffer.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum DmaError {
    /// There is no memory, or the memory exceeds the limit of the device's addresses; the value is
    /// the number of bytes.
    NoMemory(u64),
    /// No IOMMU restricts the device, and its driver has not promised to use only its own memory:
    /// it must call [`Device::enable_bus_master`] before.
    Unrestricted,
    /// The IOMMU cannot map it.
    Iommu(IommuError),
}

impl fmt::Display for DmaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemory(bytes) => {
                write!(f, "dma: no {bytes} bytes that the device can address are free")
            }
            Self::Unrestricted => f.write_str(
                "dma: no IOMMU restricts the device (its driver must call Device::enable_bus_master)",
            ),
            Self::Iommu(error) => write!(f, "dma: {error}"),
        }
    }
}

impl core::error::Error for DmaError {}

/// `T`s in memory that a device can access. The memory is zeroed at first. Dropping it revokes the
/// device's access, waits until accesses in progress have been completed, and frees the memory.
///
/// The device may change the memory at any time, so the accesses copy.
#[derive(Debug)]
pub struct Buffer<T: Word> {
    /// Keeps the function claimed.
    _hold: Option<Hold>,
    domain: Option<&'static Domain>,
    physical: u64,
    pages: u64,
    address: u64,
    length: usize,
    content: PhantomData<T>,
}

impl<T: Word> Buffer<T> {
    /// Allocates memory for `length` values that `device` may access at device addresses of at most
    /// `limit`. The first buffer makes the function a bus master, if an IOMMU restricts it.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DmaError`].
    pub fn new(
        device: &Device,
        length: usize,
        access: Access,
        limit: u64,
    ) -> Result<Self, DmaError> {
        let domain = domain_of(device)?;
        if domain.is_none() && !device.is_trusted() {
            return Err(DmaError::Unrestricted);
        }
        let buffer = Self::allocate(Some(device.hold()), domain, length, access, limit)?;
        device.become_bus_master();
        Ok(buffer)
    }

    /// As [`new`](Self::new), for a device that no IOMMU restricts, because it is not on a PCI bus
    /// or bypasses the IOMMU: the device addresses are physical addresses.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DmaError::NoMemory`].
    ///
    /// # Safety
    ///
    /// The device must not access the memory any more when the buffer is dropped.
    pub unsafe fn without_iommu(length: usize, limit: u64) -> Result<Self, DmaError> {
        Self::allocate(None, None, length, Access::ReadWrite, limit)
    }

    fn allocate(
        hold: Option<Hold>,
        domain: Option<&'static Domain>,
        length: usize,
        access: Access,
        limit: u64,
    ) -> Result<Self, DmaError> {
        let bytes = (length as u64).saturating_mul(size_of::<T>() as u64);
        let pages = pages_of(length, size_of::<T>()).ok_or(DmaError::NoMemory(bytes))?;
        let size = pages * PAGE;
        let physical = frames::allocate(size).map_err(|_| DmaError::NoMemory(bytes))?;
        // SAFETY: Just allocated.
        unsafe { frames::pointer::<u8>(physical).write_bytes(0, size as usize) };
        let address = match domain {
            None if physical + size - 1 > limit => Err(DmaError::NoMemory(bytes)),
            None => Ok(physical),
            Some(domain) => {
                let mapped = domain.map(physical, pages, limit, access);
                mapped.map_err(DmaError::Iommu)
            }
        };
        let address = address.inspect_err(|error| {
            // Otherwise the device may have access, and the memory is leaked.
            if !matches!(error, DmaError::Iommu(error) if error.is_incomplete()) {
                // SAFETY: As allocated, and the device has no access.
                unsafe { frames::free(physical, size) };
            }
        })?;
        Ok(Self {
            _hold: hold,
            domain,
            physical,
            pages,
            address,
            length,
            content: PhantomData,
        })
    }

    /// The address at which the device accesses the first value.
    ///
    /// Context: any.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The number of values.
    ///
    /// Context: any.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are no values.
    ///
    /// Context: any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The virtual address of a value.
    fn location(&self, index: usize) -> u64 {
        let length = self.length;
        assert!(
            index < length,
            "dma: no value {index} in a buffer of {length}"
        );
        frames::pointer::<T>(self.physical).addr() as u64 + (index * size_of::<T>()) as u64
    }

    /// Reads a value.
    ///
    /// Context: any.
    ///
    /// # Panics
    ///
    /// If the buffer has no value with this index.
    #[must_use]
    pub fn read(&self, index: usize) -> T {
        // SAFETY: The value is within the buffer's memory.
        unsafe { mmio::read(self.location(index)) }
    }

    /// Writes a value.
    ///
    /// Context: any.
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn write(&self, index: usize, value: T) {
        // SAFETY: As in `read`. Nothing else but the device uses the memory.
        unsafe { mmio::write(self.location(index), value) };
    }
}

/// Whether an IOMMU restricts the device to the buffers of its driver.
///
/// Context: any.
#[must_use]
pub fn is_restricted(device: &Device) -> bool {
    enabled_unit_of(device).is_some()
}

/// The unit that translates the requests of the device.
fn enabled_unit_of(device: &Device) -> Option<&'static Unit> {
    let unit = unit_of(device.address.segment(), device.source());
    unit.filter(|unit| unit.state() == State::On)
}

/// The domain of the device, or `None` if no unit translates its requests.
fn domain_of(device: &Device) -> Result<Option<&'static Domain>, DmaError> {
    let domain = enabled_unit_of(device).map(|unit| domain::of(unit, device.source()));
    domain.transpose().map_err(DmaError::Iommu)
}

impl<T: Word> Drop for Buffer<T> {
    fn drop(&mut self) {
        if let Some(domain) = self.domain
            && let Err(error) = domain.unmap(self.address, self.pages)
        {
            log::error!(
                "dma: {}: {error} ({} pages at {:#x} are not freed, because the device may use them)",
                domain.source(),
                self.pages,
                self.physical
            );
            return;
        }
        // SAFETY: As allocated. The device cannot access it; without an IOMMU, the driver must have
        // stopped the device, as it promised in `Device::enable_bus_master` or `without_iommu`.
        unsafe { frames::free(self.physical, self.pages * PAGE) };
    }
}
