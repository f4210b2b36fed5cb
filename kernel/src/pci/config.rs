//! Reaching configuration space: as memory where the MCFG says so (ECAM), else through the two
//! ports that every PC has.
//!
//! As memory, each function has a page of its own. Pages are mapped one by one, when a function is
//! first asked for; a whole segment would be 256 MiB of mappings for what is mostly not there. The
//! search asks function 0 of every device, which takes 512 KiB of page tables for 256 buses.

use alloc::vec::Vec;
use core::arch::asm;
use core::ops::RangeInclusive;

use tocsin_logic::acpi::mcfg::{self, Segment};
use tocsin_logic::acpi::{Error, Signature};
use tocsin_logic::pci::{Address, CONFIG_SIZE, EXTENDED_SIZE};
use x86_64::instructions::port::Port;

use crate::discover::Machine;
use crate::memory::paging;
use crate::sync::IrqMutex;

/// The two ports (PCI, 3.2.2.3.2). What is selected at the first is read or written at the second,
/// and nothing may come between.
static PORTS: IrqMutex<Ports> = IrqMutex::new(Ports {
    address: Port::new(0xcf8),
    data: Port::new(0xcfc),
});

struct Ports {
    address: Port<u32>,
    data: Port<u32>,
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
                let Ok(selection) = address.port_value(offset) else {
                    return u32::MAX;
                };
                let mut ports = PORTS.lock();
                // SAFETY: 1. The ports are those of configuration space on every PC. 2. The lock keeps
                // the selection until the data is read.
                unsafe { ports.address.write(selection) };
                // SAFETY: 1. and 2. as above.
                unsafe { ports.data.read() }
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
                let Ok(selection) = address.port_value(offset) else {
                    return;
                };
                let mut ports = PORTS.lock();
                // SAFETY: 1. The ports are those of configuration space on every PC.
                unsafe { ports.address.write(selection) };
                // SAFETY: 1. The lock keeps the selection until the data is written. 2. The caller
                // vouches for the effect.
                unsafe { ports.data.write(value) };
            }
        }
    }
}

/// How the configuration space of this machine is reached.
#[derive(Debug)]
pub struct ConfigSpace {
    /// What lies in memory. Segment 0 goes through the ports if it is not among these.
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
        // A range that is ordinary memory, or none at all, is noticed at its first page.
        segments.retain(|segment| {
            let mapped = map(segment.memory().0);
            if let Err(error) = &mapped {
                log::warn!("pci: {segment} cannot be mapped: {error}; left out");
            }
            mapped.is_ok()
        });
        Self { segments }
    }

    /// The ranges that lie in memory.
    #[must_use]
    pub fn memory(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether segment 0 is reached through the ports.
    #[must_use]
    pub fn uses_ports(&self) -> bool {
        self.segments.iter().all(|segment| segment.group != 0)
    }

    /// Segments with their buses, in the MCFG's order.
    pub(super) fn buses(&self) -> impl Iterator<Item = (u16, RangeInclusive<u8>)> + '_ {
        let ports = self.uses_ports().then_some((0, 0..=255));
        let memory = self.segments.iter();
        let memory = memory.map(|segment| (segment.group, segment.first_bus..=segment.last_bus));
        ports.into_iter().chain(memory)
    }

    /// The registers of a function, there or not. `None` if it is outside of every segment, or its
    /// page cannot be mapped.
    pub(super) fn registers(&self, address: Address) -> Option<Registers> {
        if address.segment() == 0 && self.uses_ports() {
            return Some(Registers::Ports(address));
        }
        let of_segment = |segment: &&Segment| segment.group == address.segment();
        let page = self
            .segments
            .iter()
            .filter(of_segment)
            .find_map(|segment| {
                segment.function(address.bus(), address.device(), address.function())
            })?;
        map(page).ok().map(Registers::Memory)
    }
}

/// Maps one function's page. Returns its virtual address.
fn map(page: u64) -> Result<u64, crate::memory::MemoryError> {
    // SAFETY: 1. The MCFG says that this is configuration space: device registers.
    unsafe { paging::map_physical(page, EXTENDED_SIZE.into(), paging::Use::Device) }
}
