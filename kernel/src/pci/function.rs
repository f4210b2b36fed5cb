//! PCI functions as found by the bus scan, and the operations on an unclaimed function.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::{Polarity, Trigger};
use tocsin_logic::pci::capability::{self, capabilities};
use tocsin_logic::pci::express;
use tocsin_logic::pci::extended::{self, Extended};
use tocsin_logic::pci::{
    Address, Bar, BarError, CONFIG_SIZE, Capability, CapabilityError, Found, Header, Layout,
    MsiCapability, MsixCapability, bar, command,
};
use tocsin_logic::topology::{Route, Topology};
use tocsin_logic::vtd::SourceId;

use super::config::Registers;
use super::{Device, PciError};
use crate::sync::IrqMutex;

/// An invalid value in a function's configuration space. The rest of the function is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FunctionProblem {
    /// This base address register.
    Bar(u8, BarError),
    /// A capability or the list of them.
    Capability(CapabilityError),
}

impl fmt::Display for FunctionProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bar(index, error) => write!(f, "BAR {index}: {error}"),
            Self::Capability(error) => error.fmt(f),
        }
    }
}

/// A PCI function found by the bus scan.
#[derive(Debug)]
pub struct Function {
    /// Its segment, bus, device and function numbers.
    pub address: Address,
    /// Its header.
    pub header: Header,
    /// The bridge that leads to its bus; `None` on a root bus.
    pub bridge: Option<Address>,
    /// The memory and I/O ranges that it decodes, by the number of the base address register.
    pub bars: Vec<(u8, Bar)>,
    /// Its capabilities, in the order of its list.
    pub capabilities: Vec<Capability>,
    /// Its MSI capability, if any.
    pub msi: Option<MsiCapability>,
    /// Its MSI-X capability, if any.
    pub msix: Option<MsixCapability>,
    /// The errors found in it.
    pub problems: Vec<FunctionProblem>,
    pub(super) registers: Registers,
    is_claimed: AtomicBool,
    /// Whether an IOMMU's fault handler has ended its requests.
    is_isolated: AtomicBool,
    /// Held during a read-modify-write of a register.
    changes: IrqMutex<()>,
}

impl Function {
    /// Reads the description of a function, and disables its interrupts, because they have no
    /// handler yet.
    ///
    /// # Safety
    ///
    /// Must be called once for a function, while nothing uses it: for a moment it does not respond
    /// at its addresses.
    pub(super) unsafe fn new(found: Found, registers: Registers) -> Self {
        let Found {
            address,
            header,
            bridge,
        } = found;
        let mut function = Self {
            address,
            header,
            bridge,
            bars: Vec::new(),
            capabilities: Vec::new(),
            msi: None,
            msix: None,
            problems: Vec::new(),
            registers,
            is_claimed: AtomicBool::new(false),
            is_isolated: AtomicBool::new(false),
            changes: IrqMutex::new(()),
        };
        function.read_capabilities();
        function.disable_interrupts();
        // SAFETY: Passed on to the caller.
        unsafe { function.read_bars() };
        function
    }

    fn read_capabilities(&mut self) {
        let registers = self.registers;
        let first = self.header.capabilities.unwrap_or(0);
        for item in capabilities(first, |offset| registers.read(offset)) {
            let decoded = item.and_then(|found| {
                self.capabilities.push(found);
                self.decode(found)
            });
            if let Err(error) = decoded {
                self.problems.push(FunctionProblem::Capability(error));
            }
        }
    }

    /// Decodes the capabilities for interrupts. The first of each kind is used.
    fn decode(&mut self, found: Capability) -> Result<(), CapabilityError> {
        let offset = u16::from(found.offset);
        match found.id {
            capability::MSI if self.msi.is_none() => {
                self.msi = Some(MsiCapability::decode(found.offset, self.read(offset))?);
            }
            capability::MSI_X if self.msix.is_none() => {
                // Registers beyond the end of configuration space are not read.
                let registers = [0, 4, 8].map(|distance| self.read(offset + distance));
                self.msix = Some(MsixCapability::decode(found.offset, registers)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// # Safety
    ///
    /// As for [`Function::new`].
    unsafe fn read_bars(&mut self) {
        let count = self.header.layout.bars();
        let mut values = [0; 6];
        let mut masks = [0; 6];
        let old = self.read(command::OFFSET);
        // While the registers contain ones, the function would decode addresses of other devices.
        self.change_command(0, command::IO | command::MEMORY);
        for index in 0..count {
            let offset = bar::FIRST + 4 * index as u16;
            values[index] = self.read(offset);
            // SAFETY: The function decodes no address, and the caller guarantees that nothing
            // accesses it.
            unsafe { self.registers.write(offset, u32::MAX) };
            masks[index] = self.read(offset);
            // SAFETY: The original value is restored.
            unsafe { self.registers.write(offset, values[index]) };
        }
        self.change_command(old as u16 & (command::IO | command::MEMORY), 0);
        for (index, result) in bar::decode(&values[..count], &masks[..count]) {
            match result {
                Ok(bar) => self.bars.push((index, bar)),
                Err(error) => self.problems.push(FunctionProblem::Bar(index, error)),
            }
        }
    }

    /// Disables the function's interrupts: MSI, MSI-X and the interrupt pin.
    pub(super) fn disable_interrupts(&self) {
        if let Some(msi) = self.msi {
            self.change(msi.control(), MsiCapability::disabled);
        }
        if let Some(msix) = self.msix {
            self.change(msix.control(), |register| {
                MsixCapability::with(register, false, false)
            });
        }
        if self.header.pin.is_some() {
            self.change_command(command::INTX_DISABLE, 0);
        }
    }

    /// Reads the 32-bit register at `offset` of its configuration space, a multiple of 4; returns
    /// all ones if the register does not exist.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn read(&self, offset: u16) -> u32 {
        self.registers.read(offset)
    }

    /// Its extended capabilities, and the errors in their list. None if configuration space is
    /// accessed through ports, or if the function is not PCI Express.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn extended_capabilities(&self) -> Vec<Result<Extended, CapabilityError>> {
        let is_express = self
            .capabilities
            .iter()
            .any(|found| found.id == capability::PCI_EXPRESS);
        if !is_express || self.registers.size() <= CONFIG_SIZE {
            return Vec::new();
        }
        extended::extended(|offset| self.read(offset)).collect()
    }

    /// The route of the interrupt pin, as far as it is known without AML: the ISA interrupt in the
    /// interrupt line register, as set by firmware. That is the route to the 8259s; chipsets such
    /// as QEMU's use the I/O APIC input of the same number.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`PciError::NoPin`], [`PciError::NoRoute`].
    pub fn pin_route(&self, topology: &Topology) -> Result<Route, PciError> {
        let no_route = PciError::NoRoute(self.address, self.header.line);
        self.header.pin.ok_or(PciError::NoPin(self.address))?;
        let line = self
            .header
            .line
            .filter(|&line| line != 0)
            .ok_or(no_route.clone())?;
        let route = topology.isa_irq(line).ok_or(no_route)?;
        if route.overridden {
            return Ok(route);
        }
        // PCI mode and not ISA mode: active low, level-triggered (PCI, 2.2.6).
        Ok(Route {
            gsi: Gsi(line.into()),
            polarity: Polarity::Low,
            trigger: Trigger::Level,
            overridden: false,
        })
    }

    /// Claims the function for one driver. This disables bus mastering, whatever firmware or an
    /// earlier driver configured, so that the function cannot write to memory until
    /// [`Device::enable_bus_master`] enables it. On a bridge it stays enabled, because the bridge
    /// forwards writes of the functions behind it.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError::Claimed`].
    pub fn claim(&'static self) -> Result<Device, PciError> {
        if self.is_claimed.swap(true, Ordering::Acquire) {
            return Err(PciError::Claimed(self.address));
        }
        let clear = if self.is_bridge() {
            0
        } else {
            command::BUS_MASTER
        };
        // A function may have been isolated without a driver.
        self.is_isolated.store(false, Ordering::Relaxed);
        // Before any window exists through which the function could be programmed.
        self.change_command(command::IO | command::MEMORY, clear);
        // A read completion is ordered after earlier writes of the function (PCI, 3.2.5).
        let _ = self.read(command::OFFSET);
        Ok(Device::new(self))
    }

    /// Releases the function, so that it can be claimed again.
    pub(super) fn release(&self) {
        self.is_isolated.store(false, Ordering::Relaxed);
        self.is_claimed.store(false, Ordering::Release);
    }

    /// Whether a driver has claimed the function.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.is_claimed.load(Ordering::Relaxed)
    }

    /// The source ID of its requests: its own, or that of a bridge to a conventional PCI bus, which
    /// takes the requests of all functions behind it as its own (VT-d specification 4.1, 3.4.1).
    ///
    /// Context: thread.
    #[must_use]
    pub fn source(&self) -> SourceId {
        let mut source = self.address.requester_id();
        let mut next = self.bridge;
        while let Some(bridge) = next.and_then(super::function) {
            if let Some((secondary, _)) = bridge.buses() {
                let kind = express::port_type(bridge.express_flags());
                source = express::source_behind(kind, bridge.address, secondary, source);
            }
            next = bridge.bridge;
        }
        SourceId(source)
    }

    /// The first register of its PCI Express capability, if any.
    fn express_flags(&self) -> Option<u32> {
        let mut capabilities = self.capabilities.iter();
        let found = capabilities.find(|it| it.id == capability::PCI_EXPRESS)?;
        Some(self.read(found.offset.into()))
    }

    /// Whether this is a bridge to another PCI bus.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        matches!(self.header.layout, Layout::Bridge { .. })
    }

    /// Replaces the value of a register with the result of `new`. Must not be called in handlers.
    pub(super) fn change(&self, offset: u16, new: impl FnOnce(u32) -> u32) {
        let _changes = self.changes.lock();
        let value = new(self.read(offset));
        // SAFETY: This module owns the registers that it changes: the command register, and those
        // of MSI and MSI-X. Only `enable_bus_master` enables bus mastering.
        unsafe { self.registers.write(offset, value) };
    }

    /// Like [`Function::change`], with a value that does not depend on the old one.
    pub(super) fn set(&self, offset: u16, value: u32) {
        self.change(offset, |_| value);
    }

    /// The buses behind it, first and last, if it is a bridge.
    pub(crate) fn buses(&self) -> Option<(u8, u8)> {
        match self.header.layout {
            Layout::Bridge {
                secondary,
                subordinate,
                ..
            } => Some((secondary, subordinate)),
            _ => None,
        }
    }

    /// Whether the function was isolated after faults of its DMA: it cannot make requests until its
    /// driver has released it and claims it again.
    ///
    /// Context: any.
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.is_isolated.load(Ordering::Acquire)
    }

    /// Ends the requests of the function.
    pub(crate) fn isolate(&self) {
        self.is_isolated.store(true, Ordering::Release);
        self.change_command(0, command::BUS_MASTER);
    }

    pub(super) fn change_command(&self, set: u16, clear: u16) {
        self.change(command::OFFSET, |register| {
            command::changed(register, set, clear)
        });
    }
}
