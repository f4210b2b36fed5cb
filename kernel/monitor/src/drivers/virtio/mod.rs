//! The part of the virtio entropy driver that does not depend on the transport (Virtual I/O Device
//! 1.2, 3.1.1 and 5.4). The device fills a buffer with random bytes, and then interrupts.

mod queue;

use super::TIMEOUT;
use queue::{BUFFER, ENTRIES, Queue};
use tocsin::iommu::dma::{Buffer, DmaError};
use tocsin::time;

/// The device type of an entropy device.
pub const ENTROPY: u32 = 4;

/// Device status bits (2.1).
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;

/// Bit 32 of the features: the device conforms to version 1 (6).
const VERSION_1: u32 = 1 << 0;

/// Bit 33 of the features: the device uses the addresses of the platform, which an IOMMU
/// translates; without it, the device bypasses the IOMMU (6).
const ACCESS_PLATFORM: u32 = 1 << 1;

/// The transport of a device: PCI or memory-mapped registers.
pub trait Transport {
    /// Returns the device status.
    fn status(&self) -> u8;

    /// Writes the device status; 0 resets the device.
    fn set_status(&self, status: u8);

    /// Returns memory of `length` words for the device, which has just been reset. If the device
    /// `bypasses` the IOMMU, it gets physical addresses.
    fn allocate(&self, length: usize, bypasses: bool) -> Result<Buffer<u16>, DmaError>;

    /// Returns the device feature bits from bit `32 * select`.
    fn device_features(&self, select: u32) -> u32;

    /// Sets the driver feature bits from bit `32 * select`.
    fn set_driver_features(&self, select: u32, features: u32);

    /// Selects queue 0. Returns its maximum number of entries, or 0 if there is no such queue.
    fn select_queue(&self) -> u32;

    /// Sets the size of the selected queue and the addresses of its parts (descriptors, driver
    /// area, device area), and enables the queue.
    fn start_queue(&mut self, entries: u16, addresses: [u64; 3]) -> Result<(), &'static str>;

    /// Notifies the device of a new buffer in queue 0.
    fn notify(&self);
}

/// The reason why a device does not work.
#[derive(Clone, Copy, Debug)]
pub enum VirtioError {
    /// There is no memory for its queue.
    Memory(DmaError),
    /// The device violates the specification; contains a description.
    Device(&'static str),
}

/// A running entropy device, which is reset when this is dropped.
#[derive(Debug)]
pub struct Entropy<T: Transport> {
    transport: T,
    /// `None` only in the drop.
    queue: Option<Queue>,
}

impl<T: Transport> Entropy<T> {
    /// Initializes the device in the order of 3.1.1.
    pub fn start(transport: T) -> Result<Self, VirtioError> {
        if !is_reset(&transport) {
            return Err(VirtioError::Device("the reset timed out"));
        }
        transport.set_status(ACKNOWLEDGE);
        transport.set_status(ACKNOWLEDGE | DRIVER);
        let offered = transport.device_features(1);
        let bypasses = offered & ACCESS_PLATFORM == 0;
        let allocate = |length| transport.allocate(length, bypasses);
        let queue = Queue::new(allocate).map_err(VirtioError::Memory)?;
        let queue = Some(queue);
        let mut entropy = Self { transport, queue };
        entropy.set_up(offered).map_err(VirtioError::Device)?;
        Ok(entropy)
    }

    fn set_up(&mut self, offered: u32) -> Result<(), &'static str> {
        let addresses = self.queue().addresses();
        let transport = &mut self.transport;
        if offered & VERSION_1 == 0 {
            return Err("the device lacks the feature VIRTIO_F_VERSION_1");
        }
        let accepted = VERSION_1 | offered & ACCESS_PLATFORM;
        for (select, features) in [(0, 0), (1, accepted)] {
            transport.set_driver_features(select, features);
        }
        let status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
        transport.set_status(status);
        if transport.status() & FEATURES_OK == 0 {
            return Err("the device rejected the features");
        }
        if transport.select_queue() < ENTRIES.into() {
            return Err("the device's queue is too small");
        }
        transport.start_queue(ENTRIES, addresses)?;
        transport.set_status(status | DRIVER_OK);
        Ok(())
    }

    fn queue(&self) -> &Queue {
        self.queue.as_ref().expect("the drop alone takes it")
    }

    /// The transport of the device.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Makes the buffer available to the device, and notifies it.
    pub fn request(&self) {
        self.queue().offer();
        self.transport.notify();
    }

    /// Waits until the device has used the buffer. Returns the number of bytes that it wrote, 1 or
    /// more.
    pub fn finish(&self) -> Result<u32, &'static str> {
        if !time::wait_until(TIMEOUT, || self.queue().is_done()) {
            return Err("the request timed out");
        }
        match self.queue().written() {
            bytes @ 1..=BUFFER => Ok(bytes),
            _ => Err("the length of the used buffer is invalid"),
        }
    }
}

/// Resets the device, which then accesses no memory. Returns whether the reset is complete.
fn is_reset(transport: &impl Transport) -> bool {
    transport.set_status(0);
    time::wait_until(TIMEOUT, || transport.status() == 0)
}

impl<T: Transport> Drop for Entropy<T> {
    fn drop(&mut self) {
        if !is_reset(&self.transport) {
            // The memory is leaked, because the device could otherwise write to it after it is
            // reused.
            core::mem::forget(self.queue.take());
        }
    }
}
