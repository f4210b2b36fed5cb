//! Reaching configuration space: as memory where the MCFG says so (ECAM), else through the two
//! ports that every PC has. The ports reach segment 0 only, and all of its buses: where a range of the
//! MCFG is unusable or has too few buses, the others are still found.
//!
//! As memory, each function has a page of its own. Pages are mapped one by one, when a function is
//! first asked for; a whole segment would be 256 MiB of mappings for what is mostly not there. The
//! search asks function 0 of every device, which takes 512 KiB of page tables for 256 buses.

use alloc::vec::Vec;
use core::arch::asm;

use tocsin_logic::acpi::mcfg::{self, Segment};
use tocsin_logic::acpi::{Error, Signature};
use tocsin_logic::devices::hpet::LENGTH as HPET_LENGTH;
use tocsin_logic::memory_map::Placement;
use tocsin_logic::pci::address::DEVICES;
use tocsin_logic::pci::{Address, CONFIG_SIZE, EXTENDED_SIZE, Header};

use crate::apic::{io, local};
use crate::discover::Machine;
use crate::hw::port;
use crate::hw::processor::physical_address_bits;
use crate::memory::frames::FRAME;
use crate::memory::probe::Probe;
use crate::memory::{MemoryError, paging};
use crate::sync::IrqMutex;

/// The two ports (PCI, 3.2.2.3.2): one selects a register, through the other it is read or written.
const SELECT: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// Held from the selection until the access, between which nothing may come.
static SELECTION: IrqMutex<()> = IrqMutex::new(());

/// Selects a function's register and runs `access` to the data port. `None` if the ports do not reach
/// the register.
fn selected<T>(address: Address, offset: u16, access: impl FnOnce() -> T) -> Option<T> {
    let selection = address.port_value(offset).ok()?;
    let _selection = SELECTION.lock();
    // SAFETY: 1. The port is that of configuration space on every PC, and selecting changes nothing.
    unsafe { port::write(SELECT, selection) };
    Some(access())
}

/// One function's configuration space. Through memory there is no lock; through ports there is
/// one, so handlers leave it alone.
#[derive(Clone, Copy, Debug)]
pub(super) enum Registers {
    /// Its page, mapped at this virtual address.
    Memory(u64),
    /// By its address.
    Ports(Address),
}

impl Registers {
    /// Bytes that there can be.
    pub(super) fn size(self) -> u16 {
        match self {
            Self::Memory(_) => EXTENDED_SIZE,
            Self::Ports(_) => CONFIG_SIZE,
        }
    }

    /// Reads the 32-bit register at `offset`, a multiple of 4. All ones if there is none.
    pub(super) fn read(self, offset: u16) -> u32 {
        match self {
            Self::Memory(page) if offset < EXTENDED_SIZE => {
                let place = page + u64::from(offset & !3);
                let value: u32;
                // SAFETY: 1. The page is mapped as device registers, and the offset is within it.
                // 2. EAX, because AMD's processors promise these accesses for no other register.
                unsafe {
                    asm!("mov eax, [{}]", in(reg) place, out("eax") value, options(nostack, preserves_flags));
                };
                value
            }
            Self::Memory(_) => u32::MAX,
            Self::Ports(address) => {
                // SAFETY: 1. Reading configuration space changes nothing.
                let read = || unsafe { port::read::<u32>(DATA) };
                selected(address, offset, read).unwrap_or(u32::MAX)
            }
        }
    }

    /// Writes the 32-bit register at `offset`, a multiple of 4.
    ///
    /// # Safety
    ///
    /// The caller must be the one who decides about this register of the function, and the value
    /// must not make the function do what others rely on it not to do.
    pub(super) unsafe fn write(self, offset: u16, value: u32) {
        match self {
            Self::Memory(page) if offset < EXTENDED_SIZE => {
                let place = page + u64::from(offset & !3);
                // SAFETY: 1. The page is mapped as device registers, and the offset is within it.
                // 2. The caller vouches for the effect. 3. EAX as for reading.
                unsafe {
                    asm!("mov [{}], eax", in(reg) place, in("eax") value, options(nostack, preserves_flags));
                };
            }
            Self::Memory(_) => {}
            Self::Ports(address) => {
                // SAFETY: 1. Passed on to the caller.
                let write = || unsafe { port::write(DATA, value) };
                let _ = selected(address, offset, write);
            }
        }
    }

    /// Writes the 16-bit register at `offset`, a multiple of 2, alone: for those whose neighbour must not
    /// be written.
    ///
    /// # Safety
    ///
    /// As [`Registers::write`].
    pub(super) unsafe fn write_half(self, offset: u16, value: u16) {
        match self {
            Self::Memory(page) if offset < EXTENDED_SIZE => {
                let place = page + u64::from(offset & !1);
                // SAFETY: 1. to 3. as for `write`.
                unsafe {
                    asm!("mov [{}], ax", in(reg) place, in("ax") value, options(nostack, preserves_flags));
                };
            }
            Self::Memory(_) => {}
            Self::Ports(address) => {
                let port = DATA + (offset & 2);
                // SAFETY: 1. Passed on to the caller.
                let write = || unsafe { port::write(port, value) };
                let _ = selected(address, offset & !3, write);
            }
        }
    }
}

/// How the configuration space of this machine is reached.
#[derive(Debug)]
pub struct ConfigSpace {
    /// What lies in memory. The other buses of segment 0 go through the ports.
    segments: Vec<Segment>,
}

impl ConfigSpace {
    /// As the MCFG says. What is wrong with the table is logged and left out.
    pub(super) fn find(machine: &Machine) -> Self {
        let table = machine.tables.as_ref();
        let bytes = table.and_then(|tables| tables.get(Signature::MCFG));
        let mut segments = Vec::new();
        let warn = |error: Error| log::warn!("pci: {error}; left out");
        match bytes.map(mcfg::parse) {
            Some(Ok(table)) => {
                for segment in table.segments() {
                    match segment {
                        Ok(found) => segments.push(found.value),
                        Err(error) => warn(error),
                    }
                }
            }
            Some(Err(error)) => warn(error),
            None => {}
        }
        segments.retain(|segment| is_sound(segment, machine));
        Self { segments }
    }

    /// The ranges that lie in memory.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn memory(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether some buses of segment 0 are reached through the ports.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn uses_ports(&self) -> bool {
        (0..=u8::MAX).any(|bus| self.range(0, bus).is_none())
    }

    /// The segments that there are, segment 0 first.
    pub(super) fn segments(&self) -> Vec<u16> {
        let mut groups: Vec<_> = self.segments.iter().map(|segment| segment.group).collect();
        groups.push(0);
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// The buses of a segment that can be reached.
    pub(super) fn buses(&self, segment: u16) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(move |&bus| segment == 0 || self.range(segment, bus).is_some())
    }

    /// The range in memory that a bus is in.
    fn range(&self, segment: u16, bus: u8) -> Option<&Segment> {
        let mut ranges = self.segments.iter();
        ranges.find(|range| {
            range.group == segment && (range.first_bus..=range.last_bus).contains(&bus)
        })
    }

    /// The registers of a function, there or not. `None` if it is outside of every segment, or its
    /// page cannot be mapped.
    pub(super) fn registers(&self, address: Address) -> Option<Registers> {
        match self.range(address.segment(), address.bus()) {
            Some(range) => {
                let page = range.function(address.bus(), address.device(), address.function())?;
                map(page).ok().map(Registers::Memory)
            }
            None => (address.segment() == 0).then_some(Registers::Ports(address)),
        }
    }
}

/// Whether this is configuration space: it can be mapped as registers, and a device answers, the same
/// as through the ports if these reach it. If not, the log says so, and nothing of it stays mapped.
fn is_sound(segment: &Segment, machine: &Machine) -> bool {
    let mut placement = Placement::new(&machine.boot.memory, physical_address_bits());
    if let Ok(base) = local::base_register() {
        placement.add("local APIC", base.address, FRAME);
    }
    for io_apic in io::all() {
        placement.add("I/O APIC", io_apic.address, FRAME);
    }
    if let Some(hpet) = &machine.hpet {
        placement.add("HPET", hpet.address, HPET_LENGTH);
    }
    let (start, length) = segment.memory();
    if let Err(error) = placement.check(start, length) {
        log::warn!("pci: {segment} cannot be {error}; left out");
        return false;
    }
    let mut probe = Probe::default();
    let buses = segment.first_bus..=segment.last_bus;
    for (bus, device) in buses.flat_map(|bus| (0..DEVICES).map(move |device| (bus, device))) {
        let Some(page) = segment.function(bus, device, 0) else {
            continue;
        };
        // SAFETY: The MCFG says that this is configuration space, where reads have no effects. Neither memory
        // nor an interrupt controller is there.
        let page = match unsafe { probe.add(page, EXTENDED_SIZE.into(), paging::Use::Device) } {
            Ok(page) => page,
            Err(error) => {
                log::warn!("pci: {segment} cannot be mapped: {error}; left out");
                return false;
            }
        };
        if Header::read(|offset| Registers::Memory(page).read(offset)).is_none() {
            continue;
        }
        let ids = Registers::Memory(page).read(0);
        let by_ports = Address::new(segment.group, bus, device, 0)
            .map_or(u32::MAX, |address| Registers::Ports(address).read(0));
        if segment.group == 0 && by_ports != u32::MAX && by_ports != ids {
            log::warn!(
                "pci: {segment}: bus {bus:#04x}, device {device:#04x} has the IDs {ids:#010x}, but \
                 {by_ports:#010x} through the ports; left out"
            );
            return false;
        }
        probe.keep();
        return true;
    }
    log::warn!("pci: {segment}: no device answers on any of its buses; left out");
    false
}

/// Maps one function's page. Returns its virtual address.
fn map(page: u64) -> Result<u64, MemoryError> {
    // SAFETY: 1. The MCFG says that this is configuration space: device registers.
    unsafe { paging::map_physical(page, EXTENDED_SIZE.into(), paging::Use::Device) }
}
