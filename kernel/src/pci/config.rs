//! Access to configuration space: memory-mapped where the MCFG provides it (ECAM), otherwise
//! through the two ports that every PC has. The ports reach only segment 0, but all of its buses:
//! if an MCFG range is unusable or has too few buses, the other buses are still found.
//!
//! In ECAM, each function has its own page. A page is mapped at the first access to its function;
//! mapping a whole segment would take 256 MiB, most of it for absent functions. The bus scan reads
//! function 0 of every device, which takes 512 KiB of page tables for 256 buses.

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

/// The two ports (PCI, 3.2.2.3.2): one selects a register, the other one accesses it.
const SELECT: u16 = 0xcf8;
const DATA: u16 = 0xcfc;

/// Held from the selection of a register until its access, which must not be interleaved with
/// others.
static SELECTION: IrqMutex<()> = IrqMutex::new(());

/// Selects a function's register and calls `access` with the data port. `None` if the ports do not
/// reach the register.
fn selected<T>(address: Address, offset: u16, access: impl FnOnce() -> T) -> Option<T> {
    let selection = address.port_value(offset).ok()?;
    let _selection = SELECTION.lock();
    // SAFETY: The port is that of configuration space on every PC, and the selection has no side
    // effect.
    unsafe { port::write(SELECT, selection) };
    Some(access())
}

/// One function's configuration space. Memory-mapped access takes no lock, but access through ports
/// does, so handlers must not use it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Registers {
    /// ECAM: the page is mapped at this virtual address.
    Memory(u64),
    /// Access through ports, by the function's address.
    Ports(Address),
}

impl Registers {
    /// Size of the configuration space, in bytes.
    pub(super) fn size(self) -> u16 {
        match self {
            Self::Memory(_) => EXTENDED_SIZE,
            Self::Ports(_) => CONFIG_SIZE,
        }
    }

    /// Reads the 32-bit register at `offset`, a multiple of 4. Returns all ones if there is none.
    pub(super) fn read(self, offset: u16) -> u32 {
        match self {
            Self::Memory(page) if offset < EXTENDED_SIZE => {
                let pointer = page + u64::from(offset & !3);
                let value: u32;
                // SAFETY: The page is mapped as device registers, and the offset is within it. The
                // access uses EAX, because AMD CPUs guarantee these accesses for no other register.
                unsafe {
                    asm!("mov eax, [{}]", in(reg) pointer, out("eax") value, options(nostack, preserves_flags));
                };
                value
            }
            Self::Memory(_) => u32::MAX,
            Self::Ports(address) => {
                // SAFETY: Reading configuration space has no side effect.
                let read = || unsafe { port::read::<u32>(DATA) };
                selected(address, offset, read).unwrap_or(u32::MAX)
            }
        }
    }

    /// Writes the 32-bit register at `offset`, a multiple of 4.
    ///
    /// # Safety
    ///
    /// The caller must be the owner of this register of the function, and the value must not cause
    /// the function to violate guarantees on which other code relies.
    pub(super) unsafe fn write(self, offset: u16, value: u32) {
        match self {
            Self::Memory(page) if offset < EXTENDED_SIZE => {
                let pointer = page + u64::from(offset & !3);
                // SAFETY: The page is mapped as device registers, and the offset is within it. The
                // caller guarantees that the effect is sound. The access uses EAX as for reading.
                unsafe {
                    asm!("mov [{}], eax", in(reg) pointer, in("eax") value, options(nostack, preserves_flags));
                };
            }
            Self::Memory(_) => {}
            Self::Ports(address) => {
                // SAFETY: Passed on to the caller.
                let write = || unsafe { port::write(DATA, value) };
                let _ = selected(address, offset, write);
            }
        }
    }

    /// Writes only the 16-bit register at `offset`, a multiple of 2: for registers whose other half
    /// must not be written.
    ///
    /// # Safety
    ///
    /// As for [`Registers::write`].
    pub(super) unsafe fn write_half(self, offset: u16, value: u16) {
        match self {
            Self::Memory(page) if offset < EXTENDED_SIZE => {
                let pointer = page + u64::from(offset & !1);
                // SAFETY: As for `write`.
                unsafe {
                    asm!("mov [{}], ax", in(reg) pointer, in("ax") value, options(nostack, preserves_flags));
                };
            }
            Self::Memory(_) => {}
            Self::Ports(address) => {
                let port = DATA + (offset & 2);
                // SAFETY: Passed on to the caller.
                let write = || unsafe { port::write(port, value) };
                let _ = selected(address, offset & !3, write);
            }
        }
    }
}

/// The access methods for this machine's configuration space.
#[derive(Debug)]
pub struct ConfigSpace {
    /// The ECAM ranges. The other buses of segment 0 are accessed through the ports.
    segments: Vec<Segment>,
}

impl ConfigSpace {
    /// Takes the ranges from the MCFG. Errors in the table are logged and the affected entries
    /// ignored.
    pub(super) fn find(machine: &Machine) -> Self {
        let table = machine.tables.as_ref();
        let bytes = table.and_then(|tables| tables.get(Signature::MCFG));
        let mut segments = Vec::new();
        let warn = |error: Error| log::warn!("pci: {error} (ignored)");
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
        segments.retain(|segment| is_valid(segment, machine));
        Self { segments }
    }

    /// The ECAM ranges.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn memory(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether some buses of segment 0 are accessed through the ports.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn uses_ports(&self) -> bool {
        (0..=u8::MAX).any(|bus| self.range(0, bus).is_none())
    }

    /// The segments of the machine, segment 0 first.
    pub(super) fn segments(&self) -> Vec<u16> {
        let mut groups: Vec<_> = self.segments.iter().map(|segment| segment.group).collect();
        groups.push(0);
        groups.sort_unstable();
        groups.dedup();
        groups
    }

    /// The reachable buses of a segment.
    pub(super) fn buses(&self, segment: u16) -> impl Iterator<Item = u8> + '_ {
        (0..=u8::MAX).filter(move |&bus| segment == 0 || self.range(segment, bus).is_some())
    }

    /// The ECAM range that contains a bus.
    fn range(&self, segment: u16, bus: u8) -> Option<&Segment> {
        let mut ranges = self.segments.iter();
        ranges.find(|range| {
            range.group == segment && (range.first_bus..=range.last_bus).contains(&bus)
        })
    }

    /// The registers of a function, whether it exists or not. `None` if it is outside of every
    /// segment, or if its page cannot be mapped.
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

/// Whether the range is configuration space: it can be mapped as registers, and a device responds,
/// with the same values as through the ports if these reach it. If not, a warning is logged, and no
/// page of the range stays mapped.
fn is_valid(segment: &Segment, machine: &Machine) -> bool {
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
        log::warn!("pci: {segment} cannot be {error} (ignored)");
        return false;
    }
    let mut probe = Probe::default();
    let buses = segment.first_bus..=segment.last_bus;
    for (bus, device) in buses.flat_map(|bus| (0..DEVICES).map(move |device| (bus, device))) {
        let Some(page) = segment.function(bus, device, 0) else {
            continue;
        };
        // SAFETY: The MCFG reports configuration space here, where reads have no side effects. The
        // range contains neither memory nor an interrupt controller.
        let page = match unsafe { probe.add(page, EXTENDED_SIZE.into(), paging::Use::Device) } {
            Ok(page) => page,
            Err(error) => {
                log::warn!("pci: {segment} cannot be mapped: {error} (ignored)");
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
                 {by_ports:#010x} through the ports (ignored)"
            );
            return false;
        }
        probe.keep();
        return true;
    }
    log::warn!("pci: {segment}: no device responds on any of its buses (ignored)");
    false
}

/// Maps the page of one function. Returns its virtual address.
fn map(page: u64) -> Result<u64, MemoryError> {
    // SAFETY: The MCFG reports configuration space here: device registers.
    unsafe { paging::map_physical(page, EXTENDED_SIZE.into(), paging::Use::Device) }
}
