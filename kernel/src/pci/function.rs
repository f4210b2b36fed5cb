//! Functions as they were found, and what may be done with one that nobody drives.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::{Polarity, Trigger};
use tocsin_logic::pci::capability::{self, capabilities};
use tocsin_logic::pci::extended::{self, Extended};
use tocsin_logic::pci::{
    Address, Bar, BarError, CONFIG_SIZE, Capability, CapabilityError, Found, Header, Layout,
    MsiCapability, MsixCapability, bar, command,
};
use tocsin_logic::topology::{Route, Topology};

use super::config::Registers;
use super::{Device, PciError};
use crate::sync::IrqMutex;

/// What a function says that makes no sense. The rest of it is used.
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

/// A function of the machine, as it was found.
#[derive(Debug)]
pub struct Function {
    /// Where it sits.
    pub address: Address,
    /// Its header.
    pub header: Header,
    /// The bridge that leads to its bus; `None` on a root bus.
    pub bridge: Option<Address>,
    /// The addresses that it answers at, by the number of the base address register.
    pub bars: Vec<(u8, Bar)>,
    /// Its capabilities, in the order of its list.
    pub capabilities: Vec<Capability>,
    /// How it sends messages, if it has MSI.
    pub msi: Option<MsiCapability>,
    /// How it sends messages, if it has MSI-X.
    pub msix: Option<MsixCapability>,
    /// What was wrong with it.
    pub problems: Vec<FunctionProblem>,
    pub(super) registers: Registers,
    is_claimed: AtomicBool,
    /// Held while a register is read, changed and written.
    changes: IrqMutex<()>,
}

impl Function {
    /// Reads all there is to know of a function, and silences it: nobody answers its interrupts yet.
    ///
    /// # Safety
    ///
    /// Once for a function, while nobody uses it: for a moment it does not answer at its addresses.
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
            changes: IrqMutex::new(()),
        };
        function.read_capabilities();
        function.silence();
        // SAFETY: 1. Passed on to the caller.
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

    /// Decodes the capabilities that concern interrupts. Of two of a kind the first counts.
    fn decode(&mut self, found: Capability) -> Result<(), CapabilityError> {
        let offset = u16::from(found.offset);
        match found.id {
            capability::MSI if self.msi.is_none() => {
                self.msi = Some(MsiCapability::decode(found.offset, self.read(offset))?);
            }
            capability::MSI_X if self.msix.is_none() => {
                // What would lie behind the end is not looked at.
                let registers = [0, 4, 8].map(|distance| self.read(offset + distance));
                self.msix = Some(MsixCapability::decode(found.offset, registers)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// # Safety
    ///
    /// As [`Function::new`].
    unsafe fn read_bars(&mut self) {
        let count = self.header.layout.bars();
        let mut values = [0; 6];
        let mut masks = [0; 6];
        let old = self.read(command::OFFSET);
        // While ones are in the registers, the function would answer at addresses of others.
        self.change_command(0, command::IO | command::MEMORY);
        for index in 0..count {
            let offset = bar::FIRST + 4 * index as u16;
            values[index] = self.read(offset);
            // SAFETY: 1. It does not answer at any address, and the caller vouches that nobody
            // expects it to.
            unsafe { self.registers.write(offset, u32::MAX) };
            masks[index] = self.read(offset);
            // SAFETY: 1. As it was.
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

    /// Has the function send no interrupts: neither by messages nor by its pin.
    pub(super) fn silence(&self) {
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

    /// Reads the 32-bit register at `offset` of its configuration space, a multiple of 4; all ones
    /// if it has none there.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn read(&self, offset: u16) -> u32 {
        self.registers.read(offset)
    }

    /// Its extended capabilities, and what was wrong with their list. None where configuration
    /// space goes through ports, or for a function that is not PCI Express.
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

    /// Where its interrupt pin arrives, as far as can be known without ACPI's language: at the ISA
    /// interrupt that firmware put into the interrupt line register. That is the way to the
    /// 8259s; chipsets such as QEMU's show the same on the I/O APIC's pin of that number.
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
        // Not as ISA has it, but as PCI: active low, level-triggered (PCI, 2.2.6).
        Ok(Route {
            gsi: Gsi(line.into()),
            polarity: Polarity::Low,
            trigger: Trigger::Level,
            overridden: false,
        })
    }

    /// Makes the caller the function's only driver. The function cannot write to memory then, whatever
    /// firmware or an earlier driver had it do: bus mastering is off, until
    /// [`Device::enable_bus_master`] turns it on. That of a bridge stays, which passes on what the functions
    /// behind it write.
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
        // Before there is a window through which anything could be written to the function.
        self.change_command(command::IO | command::MEMORY, clear);
        // The answer to a read comes behind what the function wrote before (PCI, 3.2.5).
        let _ = self.read(command::OFFSET);
        Ok(Device::new(self))
    }

    /// Lets somebody else claim it.
    pub(super) fn release(&self) {
        self.is_claimed.store(false, Ordering::Release);
    }

    /// Whether somebody has claimed it.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn is_claimed(&self) -> bool {
        self.is_claimed.load(Ordering::Relaxed)
    }

    /// Whether this is a bridge to another PCI bus.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn is_bridge(&self) -> bool {
        matches!(self.header.layout, Layout::Bridge { .. })
    }

    /// Replaces a register by what `new` makes of it. Not for handlers.
    pub(super) fn change(&self, offset: u16, new: impl FnOnce(u32) -> u32) {
        let _changes = self.changes.lock();
        let value = new(self.read(offset));
        // SAFETY: 1. This module decides about the registers that it changes: the command, and
        // those of MSI and MSI-X. 2. Bus mastering is turned on only by `enable_bus_master`.
        unsafe { self.registers.write(offset, value) };
    }

    /// As [`Function::change`], with a value that does not depend on the old one.
    pub(super) fn set(&self, offset: u16, value: u32) {
        self.change(offset, |_| value);
    }

    pub(super) fn change_command(&self, set: u16, clear: u16) {
        self.change(command::OFFSET, |register| {
            command::changed(register, set, clear)
        });
    }
}
