//! Claimed PCI devices.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::{Deref, Range};
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::devices::hpet::LENGTH as HPET_LENGTH;
use tocsin_logic::pci::{Bar, command};

use super::{Function, Msi, Msix, PciError, Window};
use crate::apic;
use crate::discover::machine;
use crate::memory::paging;
use crate::sync::IrqMutex;

/// Registers of IOMMUs, which no driver may map.
static RESERVED: IrqMutex<Vec<Range<u64>>> = IrqMutex::new(Vec::new());

/// Keeps drivers from mapping a range of physical addresses: registers that can cause writes to
/// memory.
pub(crate) fn reserve(addresses: Range<u64>) {
    RESERVED.lock().push(addresses);
}

/// The claim of a function by one driver. When the last handle is dropped, the function's
/// interrupts are disabled, it cannot write to memory, and it can be claimed again.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) function: &'static Function,
    /// Whether a handle to its MSI or MSI-X exists. A driver must not use both (PCI, 6.8).
    has_messages: AtomicBool,
    /// Whether its driver has promised to use only its own memory.
    is_trusted: AtomicBool,
}

/// Keeps a function claimed.
#[derive(Debug)]
pub(crate) struct Hold {
    _claim: Arc<Claim>,
}

impl Claim {
    pub(super) fn claim_messages(&self) -> Result<(), PciError> {
        if self.has_messages.swap(true, Ordering::Acquire) {
            return Err(PciError::MessagesClaimed(self.function.address));
        }
        Ok(())
    }

    pub(super) fn release_messages(&self) {
        self.has_messages.store(false, Ordering::Release);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.function.disable_interrupts();
        // A bridge forwards the writes of the functions behind it.
        if !self.function.is_bridge() {
            self.function.change_command(0, command::BUS_MASTER);
        }
        self.function.release();
    }
}

/// A function claimed by its driver. It stays claimed until this value and all windows and messages
/// created from it are dropped.
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
    /// Creates the device; the caller has just claimed the function.
    pub(super) fn new(function: &'static Function) -> Self {
        Self {
            claim: Arc::new(Claim {
                function,
                has_messages: AtomicBool::new(false),
                is_trusted: AtomicBool::new(false),
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

    /// Maps part of the memory behind base address register `index`: this range of byte offsets,
    /// which begins at a multiple of 8.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// As for [`Device::map`], and [`PciError::BadPart`]. [`PciError::MessageTable`] if the part
    /// contains the MSI-X table or the pending bits: a write to the table can cause any interrupt
    /// on any CPU, or a write to memory.
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

    /// Like [`Device::map_part`], but also permits the MSI-X table and its pending bits.
    pub(super) fn map_any(&self, index: u8, part: Range<u64>) -> Result<Window, PciError> {
        let function = self.address;
        let (address, size) = self.range(index)?;
        if part.is_empty() || !part.start.is_multiple_of(8) || part.end > size {
            return Err(PciError::BadPart(function, index, part));
        }
        let (address, size) = (address + part.start, part.end - part.start);
        // Some chipsets expose their interrupt controllers, the HPET or configuration space as
        // functions. Drivers must not map them, because all of them can cause writes to memory.
        let addresses = address..address.saturating_add(size);
        if is_reserved(&addresses) {
            return Err(PciError::Controller(function, index));
        }
        // SAFETY: The function decodes these addresses, so they are its registers.
        let start = unsafe { paging::map_physical(address, size, paging::Use::Device) };
        let start = start.map_err(|error| PciError::Memory(function, error))?;
        // SAFETY: Just mapped, and the mapping stays. The BAR's address is a multiple of its size,
        // which is at least 16, and the part begins at a multiple of 8.
        Ok(unsafe { Window::new(start, size, Arc::clone(&self.claim)) })
    }

    /// Enables bus mastering for the function, and on the bridges above it for the functions behind
    /// them: the function can then write to memory. Without bus mastering it sends no messages
    /// either.
    ///
    /// Context: thread.
    ///
    /// # Safety
    ///
    /// From here on the driver may pass to the device only addresses of memory that the device may
    /// read and write; the device must have been reset or must hold no addresses.
    pub unsafe fn enable_bus_master(&self) {
        self.claim.is_trusted.store(true, Ordering::Relaxed);
        self.become_bus_master();
    }

    /// Whether the driver has [enabled bus mastering](Self::enable_bus_master) itself, and so has
    /// promised to use only its own memory.
    pub(crate) fn is_trusted(&self) -> bool {
        self.claim.is_trusted.load(Ordering::Relaxed)
    }

    /// As [`enable_bus_master`](Self::enable_bus_master), for a function that an IOMMU restricts to
    /// the memory of its driver, or whose driver is trusted. Does nothing if the function is
    /// isolated.
    pub(crate) fn become_bus_master(&self) {
        if self.is_isolated() {
            return;
        }
        let mut next = self.bridge;
        // Each bridge is above the previous one, and no bus was found twice, so the loop
        // terminates.
        while let Some(bridge) = next.and_then(super::function) {
            bridge.change_command(command::BUS_MASTER | command::MEMORY, 0);
            next = bridge.bridge;
        }
        self.change_command(command::BUS_MASTER, 0);
    }

    /// Keeps the function claimed as long as the value exists.
    pub(crate) fn hold(&self) -> Hold {
        Hold {
            _claim: Arc::clone(&self.claim),
        }
    }

    /// Writes only the 16-bit register at `offset`, a multiple of 2, and not the other half of its
    /// 32 bits.
    ///
    /// Context: any but NMI.
    ///
    /// # Safety
    ///
    /// The write must not cause the device to access memory or send messages that do not belong to
    /// the driver.
    pub unsafe fn write_half(&self, offset: u16, value: u16) {
        // SAFETY: Passed on to the caller.
        unsafe { self.claim.function.registers.write_half(offset, value) };
    }

    /// Enables or disables the function's interrupt pin.
    ///
    /// Context: any but NMI.
    pub fn set_pin_enabled(&self, enabled: bool) {
        if enabled {
            self.change_command(0, command::INTX_DISABLE);
        } else {
            self.change_command(command::INTX_DISABLE, 0);
        }
    }

    /// Takes the function's MSI messages: disabled until a line is attached.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError::NoMessages`], [`PciError::MessagesClaimed`].
    pub fn msi(&self) -> Result<Msi, PciError> {
        Msi::new(&self.claim)
    }

    /// Takes the function's MSI-X messages: all masked until they are unmasked.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`PciError::NoMessages`], [`PciError::MessagesClaimed`], [`PciError::TableOutside`] and
    /// those of [`Device::map`].
    pub fn msix(&self) -> Result<Msix, PciError> {
        Msix::new(&self.claim, self)
    }
}

/// Whether a range of physical addresses overlaps the registers of an interrupt controller, the HPET
/// or an IOMMU, or PCI configuration space.
pub(crate) fn is_reserved(addresses: &Range<u64>) -> bool {
    if apic::is_register(addresses.clone()) {
        return true;
    }
    let overlaps = |start: u64, end: u64| start < addresses.end && addresses.start < end;
    let hpet = machine().and_then(|machine| machine.hpet.as_ref());
    let hpet = hpet.map(|hpet| (hpet.address, HPET_LENGTH));
    let segments = super::bus().config.memory().iter();
    let segments = segments.map(tocsin_logic::acpi::mcfg::Segment::memory);
    let mut fixed = hpet.into_iter().chain(segments);
    fixed.any(|(start, length)| overlaps(start, start + length))
        || RESERVED.lock().iter().any(|it| overlaps(it.start, it.end))
}
