//! A virtio entropy device (Virtual I/O Device 1.2, 5.4): it fills a buffer with random bytes, and
//! then sends a message by MSI-X. It demonstrates masked, pending, moved and delivered messages
//! with a device that operates independently.

use tocsin_logic::pci::capability;
use tocsin_logic::pci::virtio::{MODERN, Structure, StructureLocation, VENDOR};
use tocsin_logic::vector::PriorityClass;

use super::counted::{CountedLine, MaskedMessage};
use super::virtio::{ENTROPY, Entropy, Transport, VirtioError};
use tocsin::iommu::dma::{Access, Buffer, DmaError, is_restricted};
use tocsin::memory::MemoryError;
use tocsin::pci::{Device, Function, PciError, Window, Word, find};

/// The device ID of a transitional device, which also supports legacy drivers. This driver does not
/// use its legacy interface.
const TRANSITIONAL: u16 = 0x1005;

/// The common configuration (4.1.4.3).
mod common {
    pub const DEVICE_FEATURE_SELECT: u64 = 0x00;
    pub const DEVICE_FEATURE: u64 = 0x04;
    pub const DRIVER_FEATURE_SELECT: u64 = 0x08;
    pub const DRIVER_FEATURE: u64 = 0x0c;
    pub const DEVICE_STATUS: u64 = 0x14;
    pub const QUEUE_SELECT: u64 = 0x16;
    pub const QUEUE_SIZE: u64 = 0x18;
    pub const QUEUE_MSIX_VECTOR: u64 = 0x1a;
    pub const QUEUE_ENABLE: u64 = 0x1c;
    pub const QUEUE_NOTIFY_OFFSET: u64 = 0x1e;
    pub const QUEUE_DESCRIPTORS: u64 = 0x20;
    pub const QUEUE_DRIVER: u64 = 0x28;
    pub const QUEUE_DEVICE: u64 = 0x30;
}

/// The message number of the queue. Number 0 would be that of configuration changes.
const MESSAGE: u16 = 1;

/// An entropy device that this driver controls.
#[derive(Debug)]
pub struct VirtioRng {
    // The first field, so that the device is reset before its line is dropped.
    entropy: Entropy<Registers>,
    counted: CountedLine,
}

/// The registers of the device.
#[derive(Debug)]
struct Registers {
    common: Window,
    common_offset: u64,
    notify: Window,
    notify_offset: u64,
    /// The factor by which the queue's number is multiplied to locate its notification register.
    multiplier: u32,
    device: Device,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// The number of random bytes that the device wrote.
    pub bytes: u32,
    /// Whether the message was received.
    pub interrupted: bool,
}

impl VirtioRng {
    /// Claims and starts the machine's first free entropy device. Its message is handled on CPU
    /// number `cpu` with priority class `class`.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError`], if there is none, or it lacks a required feature.
    pub fn start(class: PriorityClass, cpu: u32) -> Result<Self, PciError> {
        let modern = find(VENDOR, MODERN + ENTROPY as u16);
        let found = modern.or_else(|error| find(VENDOR, TRANSITIONAL).map_err(|_| error));
        let device = found?.claim()?;
        let (common, common_offset, _) = structure(&device, Structure::Common)?;
        let (notify, notify_offset, multiplier) = structure(&device, Structure::Notify)?;
        let message = device.msix()?.claim(MESSAGE)?;
        let address = device.address;
        let counted = CountedLine::new("virtio-rng", class, cpu, message, 1, 0)?;
        let registers = Registers {
            common,
            common_offset,
            notify,
            notify_offset,
            multiplier,
            device,
        };
        let entropy = Entropy::start(registers).map_err(|error| match error {
            VirtioError::Memory(DmaError::NoMemory(bytes)) => {
                PciError::Buffers(address, MemoryError::OutOfFrames(bytes))
            }
            VirtioError::Memory(_) => PciError::Device(address, "the IOMMU cannot map its buffers"),
            VirtioError::Device(what) => PciError::Device(address, what),
        })?;
        Ok(Self { entropy, counted })
    }

    /// The line that handles the message.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn counted(&self) -> &CountedLine {
        &self.counted
    }

    /// The PCI function of the device. It is not returned as a [`Device`], which would give access
    /// to its registers, and through them, as it is a bus master, to memory.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn function(&self) -> &Function {
        &self.entropy.transport().device
    }

    /// Requests random bytes and waits for the message that reports them.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError::Device`], if the device does not fill the buffer.
    pub fn fill(&self) -> Result<Filled, PciError> {
        self.fill_with(|| {})
    }

    /// Same as [`VirtioRng::fill`], and calls `act` while the message is in transit.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// Same as [`VirtioRng::fill`].
    pub fn fill_with(&self, act: impl FnOnce()) -> Result<Filled, PciError> {
        let before = self.counted.received();
        self.entropy.request();
        act();
        let interrupted = self.counted.wait_beyond(before);
        let bytes = self.finish()?;
        Ok(Filled { bytes, interrupted })
    }

    /// Requests random bytes with the message masked, and unmasks it when the bytes have been
    /// written.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// Same as [`VirtioRng::fill`].
    pub fn fill_masked(&self) -> Result<MaskedMessage, PciError> {
        let cause = || {
            self.entropy.request();
            self.finish().map(|_| ())
        };
        self.counted.send_masked(cause)
    }

    /// Waits until the device has used the buffer. Returns the number of bytes that it wrote.
    fn finish(&self) -> Result<u32, PciError> {
        let wrong = |what| PciError::Device(self.function().address, what);
        self.entropy.finish().map_err(wrong)
    }
}

impl Registers {
    fn read<T: Word>(&self, register: u64) -> T {
        self.common.read(self.common_offset + register)
    }

    fn write<T: Word>(&self, register: u64, value: T) {
        self.common.write(self.common_offset + register, value);
    }
}

impl Transport for Registers {
    fn status(&self) -> u8 {
        self.read(common::DEVICE_STATUS)
    }

    fn set_status(&self, status: u8) {
        self.write(common::DEVICE_STATUS, status);
    }

    fn allocate(&self, length: usize, bypasses: bool) -> Result<Buffer<u16>, DmaError> {
        let is_restricted = !bypasses && is_restricted(&self.device);
        if !is_restricted {
            // SAFETY: The device has just been reset and has no address. It gets only those of its
            // buffers, and is reset before they are dropped.
            unsafe { self.device.enable_bus_master() };
        }
        if bypasses {
            // SAFETY: As above.
            unsafe { Buffer::without_iommu(length, u64::MAX) }
        } else {
            Buffer::new(&self.device, length, Access::ReadWrite, u64::MAX)
        }
    }

    fn device_features(&self, select: u32) -> u32 {
        self.write(common::DEVICE_FEATURE_SELECT, select);
        self.read(common::DEVICE_FEATURE)
    }

    fn set_driver_features(&self, select: u32, features: u32) {
        self.write(common::DRIVER_FEATURE_SELECT, select);
        self.write(common::DRIVER_FEATURE, features);
    }

    fn select_queue(&self) -> u32 {
        self.write(common::QUEUE_SELECT, 0_u16);
        self.read::<u16>(common::QUEUE_SIZE).into()
    }

    fn start_queue(&mut self, entries: u16, addresses: [u64; 3]) -> Result<(), &'static str> {
        self.write(common::QUEUE_SIZE, entries);
        self.write(common::QUEUE_MSIX_VECTOR, MESSAGE);
        if self.read::<u16>(common::QUEUE_MSIX_VECTOR) != MESSAGE {
            return Err("the device rejected the queue's MSI-X vector");
        }
        let registers = [
            common::QUEUE_DESCRIPTORS,
            common::QUEUE_DRIVER,
            common::QUEUE_DEVICE,
        ];
        for (register, address) in registers.into_iter().zip(addresses) {
            self.write(register, address as u32);
            self.write(register + 4, (address >> 32) as u32);
        }
        let queue_offset = self.read::<u16>(common::QUEUE_NOTIFY_OFFSET);
        self.notify_offset += u64::from(queue_offset) * u64::from(self.multiplier);
        if self.notify_offset + 2 > self.notify.size() || !self.notify_offset.is_multiple_of(2) {
            return Err("the queue's notification register is outside of the device's memory");
        }
        self.write(common::QUEUE_ENABLE, 1_u16);
        Ok(())
    }

    fn notify(&self) {
        self.notify.write(self.notify_offset, 0_u16);
    }
}

/// Returns the window that contains a structure, the offset in the window, and the register after
/// the capability, which is the multiplier of notifications.
fn structure(device: &Device, wanted: Structure) -> Result<(Window, u64, u32), PciError> {
    let missing = PciError::Device(device.address, "a structure of virtio 1 is missing");
    let mut vendor = device
        .capabilities
        .iter()
        .filter(|found| found.id == capability::VENDOR && found.offset <= 0xec);
    let location = vendor.find_map(|found| {
        let register = |number: u16| device.read(u16::from(found.offset) + 4 * number);
        let location = StructureLocation::decode([0, 1, 2, 3].map(register))?;
        (location.structure == wanted).then(|| (location, register(4)))
    });
    let (location, multiplier) = location.ok_or(missing.clone())?;
    let least = match wanted {
        Structure::Common => common::QUEUE_DEVICE + 8,
        Structure::Notify => 2,
    };
    let (offset, length) = (u64::from(location.offset), u64::from(location.length));
    if length < least || !offset.is_multiple_of(4) {
        return Err(missing);
    }
    // Maps only part of the BAR, which may contain the MSI-X table too.
    let start = offset & !7;
    let window = device.map_part(location.bar, start..offset + length)?;
    Ok((window, offset - start, multiplier))
}
