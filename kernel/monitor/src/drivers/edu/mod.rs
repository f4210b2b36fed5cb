//! QEMU's `edu` device, which interrupts on request (QEMU, docs/specs/edu), by MSI or by its pin.
//! Its interrupts can be counted when they are sent and when they are received.

mod dma;
mod handled;

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use tocsin_logic::irq::route::Mode;
use tocsin_logic::topology::Topology;
use tocsin_logic::vector::PriorityClass;

use super::TIMEOUT;
use handled::Seen;
use tocsin::line::{Claim, Line, Request, SharedHandler, SharedLine, Source};
use tocsin::pci::{Device, Function, PciError, Window, find};
use tocsin::time;

pub use handled::{HandledEdu, Tally};

pub use dma::{Direction, TransferError};

/// Vendor and device ID.
pub const IDS: (u16, u16) = (0x1234, 0x11e8);

/// The registers behind BAR 0, all of 32 bits.
mod register {
    /// The version, and 0xed in the lowest byte.
    pub const IDENTIFICATION: u64 = 0x00;
    /// Reads as the inverse of the value written.
    pub const LIVENESS: u64 = 0x04;
    /// Written: a number; read: its factorial, when it is computed.
    pub const FACTORIAL: u64 = 0x08;
    /// Bit 0: computing. Bit 7: raise interrupt value 1 when done.
    pub const STATUS: u64 = 0x20;
    /// The values that were raised and not acknowledged.
    pub const INTERRUPT_STATUS: u64 = 0x24;
    /// Written: raises the interrupt with this value.
    pub const RAISE: u64 = 0x60;
    /// Written: clears these bits in the interrupt status.
    pub const ACKNOWLEDGE: u64 = 0x64;
    /// Source, destination and number of bytes of a transfer.
    pub const DMA_SOURCE: u64 = 0x80;
    pub const DMA_DESTINATION: u64 = 0x88;
    pub const DMA_COUNT: u64 = 0x90;
    /// Bit 0: a transfer to or from memory is in progress.
    pub const DMA_COMMAND: u64 = 0x98;
}

/// Bit 7 of the status register.
const INTERRUPT_WHEN_COMPUTED: u32 = 1 << 7;
/// The value that the end of a computation raises.
const COMPUTED: u32 = 1;

/// An `edu` device that this driver controls.
#[derive(Debug)]
pub struct Edu {
    device: Device,
    registers: Window,
}

/// How the device signals its interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By message.
    Msi,
    /// By its pin.
    Pin,
}

impl Edu {
    /// Claims the machine's first free `edu` device, and checks that it works.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError`], if there is none or it is not an `edu` device.
    pub fn claim() -> Result<Self, PciError> {
        let device = find(IDS.0, IDS.1)?.claim()?;
        let registers = device.map(0)?;
        let wrong = |what| Err(PciError::Device(device.address, what));
        if registers.read::<u32>(register::IDENTIFICATION) & 0xff != 0xed {
            return wrong("the identification register is not that of edu");
        }
        for pattern in [0x1234_5678, 0, u32::MAX] {
            registers.write(register::LIVENESS, pattern);
            if registers.read::<u32>(register::LIVENESS) != !pattern {
                return wrong("the liveness register does not invert");
            }
        }
        // A transfer that an earlier driver started fails while the device is not a bus master. It
        // must not succeed when the device becomes one.
        let is_idle = || registers.read::<u32>(register::DMA_COMMAND) & 1 == 0;
        if !time::wait_until(TIMEOUT, is_idle) {
            return wrong("a DMA transfer timed out");
        }
        let left = registers.read::<u32>(register::INTERRUPT_STATUS);
        registers.write(register::ACKNOWLEDGE, left);
        Ok(Self { device, registers })
    }

    /// The PCI function of the device. It is not returned as a [`Device`], which would give access
    /// to its registers, and through them, as it is a bus master, to memory.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn function(&self) -> &Function {
        &self.device
    }

    /// The device, for benchmarks.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Returns the major and minor version.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn version(&self) -> (u8, u8) {
        let [_, _, minor, major] = self
            .registers
            .read::<u32>(register::IDENTIFICATION)
            .to_le_bytes();
        (major, minor)
    }

    /// Enables the device to send its messages.
    ///
    /// Context: thread.
    pub fn let_send(&self) {
        // SAFETY: No transfer to memory was in progress when the device was claimed, and none is
        // ever started: no other code has a window to its registers.
        unsafe { self.device.enable_bus_master() };
    }

    /// Returns the virtual address of the register that raises the interrupt with the value written
    /// to it, for code in assembly. Each write sends a message, whether or not the last one was
    /// acknowledged.
    #[must_use]
    pub(crate) fn raise_register(&self) -> u64 {
        self.registers.address::<u32>(register::RAISE)
    }

    /// Acknowledges the interrupts that were raised with `value`.
    ///
    /// Context: any but NMI.
    pub fn acknowledge(&self, value: u32) {
        self.registers.write(register::ACKNOWLEDGE, value);
    }

    /// Installs a handler for the device's interrupts on CPU number `cpu`, with priority class
    /// `class`.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError`], if there is no line or the device cannot interrupt this way.
    pub fn with_handler(
        self: Arc<Self>,
        way: Way,
        class: PriorityClass,
        cpu: u32,
        topology: &Topology,
    ) -> Result<HandledEdu, PciError> {
        let source = match way {
            Way::Msi => Source::Message,
            Way::Pin => self.source(topology)?,
        };
        let seen = Arc::new(Seen::default());
        let handler = self.handler(Arc::clone(&seen));
        let request = Request {
            name: "edu",
            source,
            class,
            cpu,
        };
        let line = Line::new(request, handler).map_err(PciError::Line)?;
        match way {
            Way::Msi => {
                line.attach(self.device.msi()?).map_err(PciError::Line)?;
                self.let_send();
            }
            Way::Pin => self.device.set_pin_enabled(true),
        }
        Ok(HandledEdu {
            edu: self,
            line,
            seen,
        })
    }

    /// Adds the device's handler to a shared line, which must be that of its
    /// [`source`](Self::source).
    ///
    /// Context: thread.
    #[must_use]
    pub fn join(self: Arc<Self>, line: &SharedLine) -> HandledEdu<SharedHandler> {
        let seen = Arc::new(Seen::default());
        let line = line.add_handler(self.handler(Arc::clone(&seen)));
        self.device.set_pin_enabled(true);
        HandledEdu {
            edu: self,
            line,
            seen,
        }
    }

    /// Returns the interrupt source of the device's pin.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`PciError::NoPin`], [`PciError::NoRoute`].
    pub fn source(&self, topology: &Topology) -> Result<Source, PciError> {
        let route = self.device.pin_route(topology)?;
        Ok(Source::Gsi {
            gsi: route.gsi,
            mode: Some(Mode {
                polarity: route.polarity,
                trigger: route.trigger,
            }),
        })
    }

    fn handler(&self, seen: Arc<Seen>) -> impl Fn() -> Claim + Send + Sync + 'static {
        let registers = self.registers.clone();
        move || {
            if seen.ignores.load(Ordering::Relaxed) {
                return Claim::Unclaimed;
            }
            let value = registers.read::<u32>(register::INTERRUPT_STATUS);
            if value == 0 {
                seen.empty.fetch_add(1, Ordering::Relaxed);
                return Claim::Unclaimed;
            }
            // This precedes the EOI, because the pin must be deasserted by then. A write to the EOI
            // MSR may pass this write (SDM vol. 3A, 12.12.3), but the read completes only after the
            // write.
            registers.write(register::ACKNOWLEDGE, value);
            let _: u32 = registers.read(register::INTERRUPT_STATUS);
            seen.values.fetch_add(value.into(), Ordering::Relaxed);
            seen.count.fetch_add(1, Ordering::Release);
            Claim::Claimed
        }
    }
}
