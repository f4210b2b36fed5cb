//! Virtio devices with memory-mapped registers, which no bus enumerates (Virtual I/O Device 1.2,
//! 4.2): the command line contains their addresses.
//!
//! On QEMU's microvm with two I/O APICs they interrupt through the second one.

use alloc::format;
use alloc::string::ToString;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::{Polarity, Trigger};
use tocsin_logic::command_line;
use tocsin_logic::devices::virtio_mmio::{LENGTH, MAGIC, VERSION, register};
use tocsin_logic::irq::route::Mode;
use tocsin_logic::vector::PriorityClass;

use super::virtio::{ENTROPY, Entropy, Transport, VirtioError};
use tocsin::Machine;
use tocsin::devices::DeviceError;
use tocsin::hw::mmio::Mmio;
use tocsin::iommu::dma::{Buffer, DmaError};
use tocsin::line::{Claim, Line, Request, Source};
use tocsin::memory::paging;
use tocsin::sync::IrqMutex;

pub use tocsin_logic::devices::virtio_mmio::Location;

const NAME: &str = "virtio-mmio entropy device";

/// The addresses of the devices that have a driver.
static TAKEN: IrqMutex<alloc::vec::Vec<u64>> = IrqMutex::new(alloc::vec::Vec::new());

/// A claim to the device at an address.
#[derive(Debug)]
struct Ownership(u64);

impl Ownership {
    fn take(address: u64) -> Result<Self, DeviceError> {
        let mut taken = TAKEN.lock();
        if taken.contains(&address) {
            return Err(DeviceError::Claimed(NAME));
        }
        taken.push(address);
        Ok(Self(address))
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        TAKEN.lock().retain(|&taken| taken != self.0);
    }
}

/// The registers of one device.
#[derive(Debug)]
struct Registers(Mmio);

/// Returns the devices on the command line.
///
/// Context: any but NMI.
pub fn locations(machine: &Machine) -> impl Iterator<Item = Location> + use<'_> {
    command_line::virtio_mmio(&machine.boot.command_line)
}

/// An entropy device that this driver controls.
#[derive(Debug)]
pub struct VirtioRng {
    // The first field, so that the device is reset before its line is dropped.
    entropy: Entropy<Registers>,
    line: Line,
    location: Location,
    raised: Arc<AtomicU64>,
    _ownership: Ownership,
}

impl VirtioRng {
    /// Claims and starts the first free entropy device on the command line. Its interrupt is
    /// handled on CPU number `cpu`.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError`]: there is no device, it is of another type, or it does not work.
    pub fn start(machine: &Machine, class: PriorityClass, cpu: u32) -> Result<Self, DeviceError> {
        let mut refused = None;
        for location in locations(machine) {
            match Self::start_at(location, class, cpu) {
                Ok(rng) => return Ok(rng),
                Err(error) => {
                    refused.get_or_insert(error);
                }
            }
        }
        Err(refused.unwrap_or(DeviceError::Absent(
            NAME,
            "the command line names none; add virtio_mmio.device=SIZE@ADDRESS:GSI",
        )))
    }

    fn start_at(location: Location, class: PriorityClass, cpu: u32) -> Result<Self, DeviceError> {
        let ownership = Ownership::take(location.address)?;
        let registers = Registers::find(location)?;
        let raised = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&raised);
        let mmio = registers.0;
        let handler = move || {
            let status = mmio.read::<u32>(register::INTERRUPT_STATUS);
            if status == 0 {
                return Claim::Unclaimed;
            }
            mmio.write(register::INTERRUPT_ACKNOWLEDGE, status);
            // A write to the EOI MSR may pass this write (SDM vol. 3A, 12.12.3), and the interrupt
            // would be delivered again. The read completes only after the write.
            let _: u32 = mmio.read(register::INTERRUPT_STATUS);
            counter.fetch_add(1, Ordering::Release);
            Claim::Claimed
        };
        // The device asserts its interrupt until it is acknowledged (4.2.2), so it is
        // level-triggered.
        let mode = Mode {
            polarity: Polarity::High,
            trigger: Trigger::Level,
        };
        let request = Request {
            name: "virtio-mmio",
            source: Source::Gsi {
                gsi: Gsi(location.gsi),
                mode: Some(mode),
            },
            class,
            cpu,
        };
        let line = Line::new(request, handler).map_err(|error| DeviceError::Line(NAME, error))?;
        let entropy = Entropy::start(registers).map_err(|error| match error {
            VirtioError::Memory(error) => DeviceError::Wrong(NAME, error.to_string()),
            VirtioError::Device(what) => {
                DeviceError::Wrong(NAME, format!("at {:#x}: {what}", location.address))
            }
        })?;
        Ok(Self {
            entropy,
            line,
            location,
            raised,
            _ownership: ownership,
        })
    }

    /// The line.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The location of the device.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn location(&self) -> Location {
        self.location
    }

    /// Returns how often the handler found the device's interrupt status set.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn raised(&self) -> u64 {
        self.raised.load(Ordering::Acquire)
    }

    /// Returns whether the device asserts its interrupt.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn is_asserted(&self) -> bool {
        let registers = &self.entropy.transport().0;
        registers.read::<u32>(register::INTERRUPT_STATUS) != 0
    }

    /// Requests random bytes and waits until the device has written them; the interrupt may arrive
    /// slightly later. Returns the number of bytes.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Wrong`], if the device does not fill the buffer.
    pub fn fill(&self) -> Result<u32, DeviceError> {
        self.entropy.request();
        self.entropy
            .finish()
            .map_err(|what| DeviceError::Wrong(NAME, what.to_string()))
    }
}

impl Registers {
    /// Maps the registers and checks that they are those of an entropy device that conforms to
    /// virtio 1.
    fn find(location: Location) -> Result<Self, DeviceError> {
        // SAFETY: The command line states that registers are at this address. Memory that the
        // kernel uses is refused.
        let start =
            unsafe { paging::map_physical(location.address, location.size, paging::Use::Device) };
        let start = start.map_err(|error| DeviceError::Memory(NAME, error))?;
        // SAFETY: The registers have just been mapped. A reset device accesses no memory, and a
        // driver gives it only the addresses of its queue. The address of the device is a multiple
        // of 8.
        let registers = unsafe { Mmio::new(start, location.size) };
        let read = |register| registers.read::<u32>(register);
        let absent = |what| {
            let what = format!("nothing of the kind at {:#x}: {what}", location.address);
            Err(DeviceError::Cannot(NAME, what))
        };
        let (magic, version) = (read(register::MAGIC), read(register::VERSION));
        if magic != MAGIC {
            return absent(format!("magic {magic:#010x}, and not {MAGIC:#010x}"));
        }
        if version != VERSION {
            return absent(format!(
                "version {version} of the registers; this driver knows version {VERSION} \
                 (QEMU: -global virtio-mmio.force-legacy=false)"
            ));
        }
        match read(register::DEVICE) {
            ENTROPY => Ok(Self(registers)),
            0 => absent("no device is plugged in".to_string()),
            other => absent(format!("a virtio device of type {other}")),
        }
    }
}

impl Transport for Registers {
    fn status(&self) -> u8 {
        // Only the low byte is in use.
        self.0.read::<u32>(register::STATUS) as u8
    }

    fn set_status(&self, status: u8) {
        self.0.write(register::STATUS, u32::from(status));
    }

    fn allocate(&self, length: usize, _: bool) -> Result<Buffer<u16>, DmaError> {
        // SAFETY: The device has just been reset and has no address. It gets only those of its
        // buffers, and is reset before they are dropped.
        unsafe { Buffer::without_iommu(length, u64::MAX) }
    }

    fn device_features(&self, select: u32) -> u32 {
        self.0.write(register::DEVICE_FEATURES_SELECT, select);
        self.0.read(register::DEVICE_FEATURES)
    }

    fn set_driver_features(&self, select: u32, features: u32) {
        self.0.write(register::DRIVER_FEATURES_SELECT, select);
        self.0.write(register::DRIVER_FEATURES, features);
    }

    fn select_queue(&self) -> u32 {
        self.0.write(register::QUEUE_SELECT, 0_u32);
        self.0.read(register::QUEUE_SIZE_MAX)
    }

    fn start_queue(&mut self, entries: u16, locations: [u64; 3]) -> Result<(), &'static str> {
        // 4.2.3.2: the driver must not configure a queue that is already in use.
        if self.0.read::<u32>(register::QUEUE_READY) != 0 {
            return Err("the queue is in use after the device's reset");
        }
        self.0.write(register::QUEUE_SIZE, u32::from(entries));
        let registers = [
            register::QUEUE_DESCRIPTORS,
            register::QUEUE_DRIVER,
            register::QUEUE_DEVICE,
        ];
        for (register, address) in registers.into_iter().zip(locations) {
            self.0.write(register, address as u32);
            self.0.write(register + 4, (address >> 32) as u32);
        }
        self.0.write(register::QUEUE_READY, 1_u32);
        if self.0.read::<u32>(register::QUEUE_READY) != 1 {
            return Err("the device rejected the queue");
        }
        Ok(())
    }

    fn notify(&self) {
        self.0.write(register::QUEUE_NOTIFY, 0_u32);
    }
}

const _: () = assert!(LENGTH >= register::QUEUE_DEVICE + 8);
