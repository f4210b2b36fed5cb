//! The part of the virtio entropy driver that does not depend on the transport (Virtual I/O Device
//! 1.2, 3.1.1 and 5.4). The device fills a buffer with random bytes, and then interrupts.

mod queue;

use super::TIMEOUT;
use queue::{BUFFER, ENTRIES, Queue};
use tocsin::memory::MemoryError;
use tocsin::time;

/// The device type of an entropy device.
pub const ENTROPY: u32 = 4;

/// Device status bits (2.1).
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;

/// Bit 32 of the features: the device conforms to version 1 (6).
const VERSION_1: u32 = 1;

/// The transport of a device: PCI or memory-mapped registers.
pub trait Transport {
    /// Returns the device status.
    fn status(&self) -> u8;

    /// Writes the device status; 0 resets the device.
    fn set_status(&self, status: u8);

    /// Enables the device's access to memory. The device has just been reset, and gets only the
    /// addresses of a queue.
    fn let_reach_memory(&self);

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
    Memory(MemoryError),
    /// The device violates the specification; contains a description.
    Device(&'static str),
}

/// A running entropy device, which is reset when this is dropped.
#[derive(Debug)]
pub struct Entropy<T: Transport> {
    transport: T,
    queue: Queue,
}

impl<T: Transport> Entropy<T> {
    /// Initializes the device in the order of 3.1.1.
    pub fn start(transport: T) -> Result<Self, VirtioError> {
        let queue = Queue::new().map_err(VirtioError::Memory)?;
        let mut entropy = Self { transport, queue };
        entropy.set_up().map_err(VirtioError::Device)?;
        Ok(entropy)
    }

    fn set_up(&mut self) -> Result<(), &'static str> {
        if !self.reset() {
            return Err("the reset timed out");
        }
        let transport = &mut self.transport;
        transport.let_reach_memory();
        transport.set_status(ACKNOWLEDGE);
        transport.set_status(ACKNOWLEDGE | DRIVER);
        if transport.device_features(1) & VERSION_1 == 0 {
            return Err("the device lacks the feature VIRTIO_F_VERSION_1");
        }
        for (select, features) in [(0, 0), (1, VERSION_1)] {
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
        transport.start_queue(ENTRIES, self.queue.addresses())?;
        transport.set_status(status | DRIVER_OK);
        Ok(())
    }

    /// The transport of the device.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Makes the buffer available to the device, and notifies it.
    pub fn request(&self) {
        self.queue.offer();
        self.transport.notify();
    }

    /// Waits until the device has used the buffer. Returns the number of bytes that it wrote, 1 or
    /// more.
    pub fn finish(&self) -> Result<u32, &'static str> {
        if !time::wait_until(TIMEOUT, || self.queue.is_done()) {
            return Err("the request timed out");
        }
        match self.queue.written() {
            bytes @ 1..=BUFFER => Ok(bytes),
            _ => Err("the length of the used buffer is invalid"),
        }
    }

    /// Resets the device, which then accesses no memory. Returns whether the reset is complete.
    fn reset(&self) -> bool {
        self.transport.set_status(0);
        time::wait_until(TIMEOUT, || self.transport.status() == 0)
    }
}

impl<T: Transport> Drop for Entropy<T> {
    fn drop(&mut self) {
        if !self.reset() {
            // The pages are leaked, because the device could otherwise write to them after they are
            // reused.
            self.queue.keep();
        }
    }
}
