//! A virtio entropy device (Virtual I/O Device 1.2, 5.4): it fills a buffer with random bytes and
//! sends a message by MSI-X when it has. As a device that works on its own, it shows messages masked,
//! pending, moved and delivered.

mod queue;

use tocsin_logic::pci::capability;
use tocsin_logic::pci::virtio::{MODERN, Structure, StructurePlace, VENDOR};
use tocsin_logic::vector::PriorityClass;

use super::counted::{CountedLine, Held, wait_until};
use super::{Device, PciError, Window, Word, find};
use queue::{BUFFER, ENTRIES, Queue};

/// Device type of an entropy device.
const TYPE: u16 = 4;

/// Device ID of one that older drivers know too; ours does not make use of that.
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

/// Device status bits (2.1).
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;

/// Bit 32 of the features: the device follows version 1 (6).
const VERSION_1: u32 = 1;

/// The number of the queue's message. 0 would be that of configuration changes.
const MESSAGE: u16 = 1;

/// An entropy device that we drive.
#[derive(Debug)]
pub struct VirtioRng {
    counted: CountedLine,
    common: Window,
    common_offset: u64,
    notify: Window,
    notify_offset: u64,
    queue: Queue,
    device: Device,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Random bytes that the device gave.
    pub bytes: u32,
    /// Whether the message came.
    pub interrupted: bool,
}

impl VirtioRng {
    /// Claims the machine's first free one and starts it, its message answered on CPU number `cpu`
    /// with priority class `class`.
    ///
    /// # Errors
    ///
    /// [`PciError`], if there is none, or it cannot do what is needed.
    pub fn start(class: PriorityClass, cpu: u32) -> Result<Self, PciError> {
        let modern = find(VENDOR, MODERN + TYPE);
        let found = modern.or_else(|error| find(VENDOR, TRANSITIONAL).map_err(|_| error));
        let device = found?.claim()?;
        let (common, common_offset, _) = structure(&device, Structure::Common)?;
        let (notify, notify_offset, multiplier) = structure(&device, Structure::Notify)?;
        let queue = Queue::new().map_err(|error| PciError::Buffers(device.address, error))?;
        let message = device.msix()?.take(MESSAGE)?;
        let counted = CountedLine::new("virtio-rng", class, cpu, message)?;
        let mut rng = Self {
            counted,
            common,
            common_offset,
            notify,
            notify_offset,
            queue,
            device,
        };
        rng.set_up(multiplier)?;
        Ok(rng)
    }

    /// Brings the device to work, in the order that 3.1.1 has.
    fn set_up(&mut self, multiplier: u32) -> Result<(), PciError> {
        let wrong = |what| Err(PciError::Device(self.device.address, what));
        if !self.reset() {
            return wrong("the device does not come out of its reset");
        }
        // SAFETY: 1. The device was just reset and knows no address. 2. It is told only those of our
        // own two pages, which stay ours until it is reset again.
        unsafe { self.device.enable_bus_master() };
        self.write(common::DEVICE_STATUS, ACKNOWLEDGE);
        self.write(common::DEVICE_STATUS, ACKNOWLEDGE | DRIVER);
        self.write(common::DEVICE_FEATURE_SELECT, 1_u32);
        if self.read::<u32>(common::DEVICE_FEATURE) & VERSION_1 == 0 {
            return wrong("the device does not follow virtio 1");
        }
        for (select, features) in [(0_u32, 0_u32), (1, VERSION_1)] {
            self.write(common::DRIVER_FEATURE_SELECT, select);
            self.write(common::DRIVER_FEATURE, features);
        }
        let status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
        self.write(common::DEVICE_STATUS, status);
        if self.read::<u8>(common::DEVICE_STATUS) & FEATURES_OK == 0 {
            return wrong("the device does not accept the features");
        }
        self.write(common::QUEUE_SELECT, 0_u16);
        if self.read::<u16>(common::QUEUE_SIZE) < ENTRIES {
            return wrong("the device's queue is too small");
        }
        self.write(common::QUEUE_SIZE, ENTRIES);
        self.write(common::QUEUE_MSIX_VECTOR, MESSAGE);
        if self.read::<u16>(common::QUEUE_MSIX_VECTOR) != MESSAGE {
            return wrong("the device does not give its queue a message");
        }
        let registers = [
            common::QUEUE_DESCRIPTORS,
            common::QUEUE_DRIVER,
            common::QUEUE_DEVICE,
        ];
        for (register, address) in registers.into_iter().zip(self.queue.addresses()) {
            self.write(register, address as u32);
            self.write(register + 4, (address >> 32) as u32);
        }
        let queue_offset = self.read::<u16>(common::QUEUE_NOTIFY_OFFSET);
        self.notify_offset += u64::from(queue_offset) * u64::from(multiplier);
        if self.notify_offset + 2 > self.notify.size() || !self.notify_offset.is_multiple_of(2) {
            return wrong("the queue's notification register is outside of the device's memory");
        }
        self.write(common::QUEUE_ENABLE, 1_u16);
        self.write(common::DEVICE_STATUS, status | DRIVER_OK);
        Ok(())
    }

    /// The line that answers.
    #[must_use]
    pub fn counted(&self) -> &CountedLine {
        &self.counted
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Asks for random bytes and waits for the message that they are there.
    ///
    /// # Errors
    ///
    /// [`PciError::Device`], if the device does not fill the buffer.
    pub fn fill(&self) -> Result<Filled, PciError> {
        self.fill_with(|| {})
    }

    /// As [`VirtioRng::fill`], and does `act` while the message is on its way.
    ///
    /// # Errors
    ///
    /// As [`VirtioRng::fill`].
    pub fn fill_with(&self, act: impl FnOnce()) -> Result<Filled, PciError> {
        let before = self.counted.received();
        self.request();
        act();
        let interrupted = self.counted.wait_beyond(before);
        let bytes = self.finish()?;
        Ok(Filled { bytes, interrupted })
    }

    /// Asks for random bytes with the message masked, and takes the mask away when they are there.
    ///
    /// # Errors
    ///
    /// As [`VirtioRng::fill`].
    pub fn fill_masked(&self) -> Result<Held, PciError> {
        let cause = || {
            self.request();
            self.finish().map(|_| ())
        };
        self.counted.hold(cause)
    }

    /// Offers the buffer to the device, and tells it.
    fn request(&self) {
        self.queue.offer();
        self.notify.write(self.notify_offset, 0_u16);
    }

    /// Waits until the device has used the buffer. Returns how many bytes it wrote.
    fn finish(&self) -> Result<u32, PciError> {
        let wrong = |what| Err(PciError::Device(self.device.address, what));
        if !wait_until(|| self.queue.is_done()) {
            return wrong("the device does not use the buffer that it was given");
        }
        match self.queue.written() {
            bytes @ 1..=BUFFER => Ok(bytes),
            _ => wrong("the device says that it wrote nothing, or more than there is room for"),
        }
    }

    /// Resets the device; it then uses no memory. Returns whether it is done.
    fn reset(&self) -> bool {
        self.write(common::DEVICE_STATUS, 0_u8);
        wait_until(|| self.read::<u8>(common::DEVICE_STATUS) == 0)
    }

    fn read<T: Word>(&self, register: u64) -> T {
        self.common.read(self.common_offset + register)
    }

    fn write<T: Word>(&self, register: u64, value: T) {
        self.common.write(self.common_offset + register, value);
    }
}

impl Drop for VirtioRng {
    fn drop(&mut self) {
        if !self.reset() {
            // Better lost than written to by a device when others have it.
            self.queue.keep();
        }
    }
}

/// The window in which a structure lies, its offset there, and the register behind the capability,
/// which is the multiplier of notifications.
fn structure(device: &Device, wanted: Structure) -> Result<(Window, u64, u32), PciError> {
    let missing = PciError::Device(device.address, "a structure of virtio 1 is missing");
    let mut vendor = device
        .capabilities
        .iter()
        .filter(|found| found.id == capability::VENDOR && found.offset <= 0xec);
    let place = vendor.find_map(|found| {
        let register = |number: u16| device.read(u16::from(found.offset) + 4 * number);
        let place = StructurePlace::decode([0, 1, 2, 3].map(register))?;
        (place.structure == wanted).then(|| (place, register(4)))
    });
    let (place, multiplier) = place.ok_or(missing.clone())?;
    let window = device.map(place.bar)?;
    let least = match wanted {
        Structure::Common => common::QUEUE_DEVICE + 8,
        Structure::Notify => 2,
    };
    let (offset, length) = (u64::from(place.offset), u64::from(place.length));
    if length < least || offset + length > window.size() || !offset.is_multiple_of(4) {
        return Err(missing);
    }
    Ok((window, offset, multiplier))
}
