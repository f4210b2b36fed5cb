//! Devices as a driver owns them.

use alloc::sync::Arc;
use core::ops::{Deref, Range};
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::devices::hpet::LENGTH as HPET_LENGTH;
use tocsin_logic::pci::{Bar, command};

use super::{Function, Msi, Msix, PciError, Window};
use crate::apic;
use crate::discover::machine;
use crate::memory::paging;

/// What keeps a function for one driver. When the last handle is gone, the function is silent, cannot
/// write to memory, and can be claimed again.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) function: &'static Function,
    /// Whether there is a handle to its MSI or MSI-X. It must not use both (PCI, 6.8).
    has_messages: AtomicBool,
}

impl Claim {
    pub(super) fn take_messages(&self) -> Result<(), PciError> {
        if self.has_messages.swap(true, Ordering::Acquire) {
            return Err(PciError::MessagesTaken(self.function.address));
        }
        Ok(())
    }

    pub(super) fn release_messages(&self) {
        self.has_messages.store(false, Ordering::Release);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.function.silence();
        // A bridge passes on what those behind it write.
        if !self.function.is_bridge() {
            self.function.change_command(0, command::BUS_MASTER);
        }
        self.function.release();
    }
}

/// A function that belongs to its driver. It stays so until this and all that came from it, windows and
/// messages, are dropped.
#[derive(Debug)]
pub struct Device {
    claim: Arc<Claim>,
}

impl Deref for Device {
    type Target = Function;

    fn deref(&self) -> &Function {
        self.claim.function
    }
}

impl Device {
    /// For who has just claimed the function.
    pub(super) fn new(function: &'static Function) -> Self {
        Self {
            claim: Arc::new(Claim {
                function,
                has_messages: AtomicBool::new(false),
            }),
        }
    }

    /// Maps the memory behind base address register `index`.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError::NoRange`] if there is no memory behind it, [`PciError::Unassigned`],
    /// [`PciError::Controller`], [`PciError::MessageTable`], [`PciError::Memory`].
    pub fn map(&self, index: u8) -> Result<Window, PciError> {
        let (_, size) = self.range(index)?;
        self.map_part(index, 0..size)
    }

    /// Maps a part of the memory behind base address register `index`: these bytes of it, which begin at a
    /// multiple of 8.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// As [`Device::map`], and [`PciError::BadPart`]. [`PciError::MessageTable`] if the MSI-X table or the
    /// pending bits are in the part: a write to the table is an interrupt of any kind, to any CPU, or a write
    /// to memory.
    pub fn map_part(&self, index: u8, part: Range<u64>) -> Result<Window, PciError> {
        let capability = self.msix.as_ref();
        if let Some(table) = capability.and_then(|msix| msix.reserved_in(index, &part)) {
            return Err(PciError::MessageTable(self.address, index, table));
        }
        self.map_any(index, part)
    }

    /// The address and size of the memory behind a base address register.
    pub(super) fn range(&self, index: u8) -> Result<(u64, u64), PciError> {
        let mut bars = self.bars.iter();
        match bars.find(|(number, _)| *number == index) {
            Some(&(_, Bar::Memory { address: 0, .. })) => {
                Err(PciError::Unassigned(self.address, index))
            }
            Some(&(_, Bar::Memory { address, size, .. })) => Ok((address, size)),
            _ => Err(PciError::NoRange(self.address, index)),
        }
    }

    /// As [`Device::map_part`], for the MSI-X table and its pending bits, too.
    pub(super) fn map_any(&self, index: u8, part: Range<u64>) -> Result<Window, PciError> {
        let place = self.address;
        let (address, size) = self.range(index)?;
        if part.is_empty() || !part.start.is_multiple_of(8) || part.end > size {
            return Err(PciError::BadPart(place, index, part));
        }
        let (address, size) = (address + part.start, part.end - part.start);
        // Some chipsets show their interrupt controllers, the HPET or configuration space as functions. They are
        // not a driver's: all of them can have something written to memory.
        let addresses = address..address.saturating_add(size);
        if apic::is_register(addresses.clone()) || is_platform_register(&addresses) {
            return Err(PciError::Controller(place, index));
        }
        // SAFETY: 1. The function answers at these addresses, so they are its registers.
        let start = unsafe { paging::map_physical(address, size, paging::Use::Device) };
        let start = start.map_err(|error| PciError::Memory(place, error))?;
        // SAFETY: Just mapped, and the mapping stays. The BAR's address is a multiple of its size, which is at
        // least 16, and the part's begin one of 8.
        Ok(unsafe { Window::new(start, size, Arc::clone(&self.claim)) })
    }

    /// Lets the function, and the bridges above it for those behind them, write to memory by itself:
    /// without that it sends no messages either.
    ///
    /// Context: thread.
    ///
    /// # Safety
    ///
    /// From here on the device may only be told addresses of memory that is its own to read and
    /// write; it must have been reset or else hold none.
    pub unsafe fn enable_bus_master(&self) {
        let mut next = self.bridge;
        // Each bridge is above the one before, and no bus was found twice: this ends.
        while let Some(bridge) = next.and_then(super::function) {
            bridge.change_command(command::BUS_MASTER | command::MEMORY, 0);
            next = bridge.bridge;
        }
        self.change_command(command::BUS_MASTER, 0);
    }

    /// Writes the 16-bit register at `offset`, a multiple of 2, and not the other half of its 32 bits.
    ///
    /// Context: any but NMI.
    ///
    /// # Safety
    ///
    /// The write must not let the device reach memory or send messages that are not the driver's.
    pub unsafe fn write_half(&self, offset: u16, value: u16) {
        // SAFETY: Passed on to the caller.
        unsafe { self.claim.function.registers.write_half(offset, value) };
    }

    /// Lets the function assert its interrupt pin, or not.
    ///
    /// Context: any but NMI.
    pub fn set_pin_enabled(&self, enabled: bool) {
        if enabled {
            self.change_command(0, command::INTX_DISABLE);
        } else {
            self.change_command(command::INTX_DISABLE, 0);
        }
    }

    /// Its messages by MSI: off, until a line has them.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError::NoMessages`], [`PciError::MessagesTaken`].
    pub fn msi(&self) -> Result<Msi, PciError> {
        Msi::new(&self.claim)
    }

    /// Its messages by MSI-X: all masked, until they are unmasked.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError::NoMessages`], [`PciError::MessagesTaken`], [`PciError::TableOutside`] and those of
    /// [`Device::map`].
    pub fn msix(&self) -> Result<Msix, PciError> {
        Msix::new(&self.claim, self)
    }
}

/// Whether physical addresses reach into the HPET's registers or PCI configuration space.
fn is_platform_register(addresses: &Range<u64>) -> bool {
    let hpet = machine().and_then(|machine| machine.hpet.as_ref());
    let hpet = hpet.map(|hpet| (hpet.address, HPET_LENGTH));
    let segments = super::bus().config.memory().iter();
    let segments = segments.map(tocsin_logic::acpi::mcfg::Segment::memory);
    hpet.into_iter()
        .chain(segments)
        .any(|(start, length)| start < addresses.end && addresses.start < start + length)
}
