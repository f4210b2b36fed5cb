//! What the virtio entropy device is, however it is reached (Virtual I/O Device 1.2, 3.1.1 and 5.4):
//! it fills a buffer with random bytes, and interrupts when it has.

mod queue;

use super::PATIENCE;
use queue::{BUFFER, ENTRIES, Queue};
use tocsin::memory::MemoryError;
use tocsin::time;

/// Device type of an entropy device.
pub const ENTROPY: u32 = 4;

/// Device status bits (2.1).
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;

/// Bit 32 of the features: the device follows version 1 (6).
const VERSION_1: u32 = 1;

/// How a device is spoken to: through PCI or through registers in memory.
pub trait Transport {
    /// The device status.
    fn status(&self) -> u8;

    /// Writes the device status; 0 resets the device.
    fn set_status(&self, status: u8);

    /// Lets the device reach memory. It was just reset, and will be told addresses of a queue only.
    fn let_reach_memory(&self);

    /// Bits `32 * select` and the following of what the device can do.
    fn device_features(&self, select: u32) -> u32;

    /// Sets the same bits of what the driver wants.
    fn set_driver_features(&self, select: u32, features: u32);

    /// Selects queue 0. Returns the most entries that it can have; 0 if there is no such queue.
    fn select_queue(&self) -> u32;

    /// Gives the selected queue its size and the places of its parts (descriptors, what the driver
    /// writes, what the device writes), and starts it.
    fn start_queue(&mut self, entries: u16, places: [u64; 3]) -> Result<(), &'static str>;

    /// Tells the device that queue 0 has something new.
    fn notify(&self);
}

/// Why a device does not work.
#[derive(Clone, Copy, Debug)]
pub enum VirtioError {
    /// No memory for its queue.
    Memory(MemoryError),
    /// It does not behave as the specification says; holds what was seen.
    Device(&'static str),
}

/// An entropy device at work. It is reset when this is dropped.
#[derive(Debug)]
pub struct Entropy<T: Transport> {
    transport: T,
    queue: Queue,
}

impl<T: Transport> Entropy<T> {
    /// Brings the device to work, in the order that 3.1.1 has.
    pub fn start(transport: T) -> Result<Self, VirtioError> {
        let queue = Queue::new().map_err(VirtioError::Memory)?;
        let mut entropy = Self { transport, queue };
        entropy.set_up().map_err(VirtioError::Device)?;
        Ok(entropy)
    }

    fn set_up(&mut self) -> Result<(), &'static str> {
        if !self.reset() {
            return Err("the device does not come out of its reset");
        }
        let transport = &mut self.transport;
        transport.let_reach_memory();
        transport.set_status(ACKNOWLEDGE);
        transport.set_status(ACKNOWLEDGE | DRIVER);
        if transport.device_features(1) & VERSION_1 == 0 {
            return Err("the device does not follow virtio 1");
        }
        for (select, features) in [(0, 0), (1, VERSION_1)] {
            transport.set_driver_features(select, features);
        }
        let status = ACKNOWLEDGE | DRIVER | FEATURES_OK;
        transport.set_status(status);
        if transport.status() & FEATURES_OK == 0 {
            return Err("the device does not accept the features");
        }
        if transport.select_queue() < ENTRIES.into() {
            return Err("the device's queue is too small");
        }
        transport.start_queue(ENTRIES, self.queue.addresses())?;
        transport.set_status(status | DRIVER_OK);
        Ok(())
    }

    /// How the device is spoken to.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// Offers the buffer to the device, and tells it.
    pub fn request(&self) {
        self.queue.offer();
        self.transport.notify();
    }

    /// Waits until the device has used the buffer. Returns how many bytes it wrote, 1 or more.
    pub fn finish(&self) -> Result<u32, &'static str> {
        if !time::wait_until(PATIENCE, || self.queue.is_done()) {
            return Err("the device does not use the buffer that it was given");
        }
        match self.queue.written() {
            bytes @ 1..=BUFFER => Ok(bytes),
            _ => Err("the device says that it wrote nothing, or more than there is room for"),
        }
    }

    /// Resets the device; it then uses no memory. Returns whether it is done.
    fn reset(&self) -> bool {
        self.transport.set_status(0);
        time::wait_until(PATIENCE, || self.transport.status() == 0)
    }
}

impl<T: Transport> Drop for Entropy<T> {
    fn drop(&mut self) {
        if !self.reset() {
            // Better lost than written to by a device when others have it.
            self.queue.keep();
        }
    }
}
