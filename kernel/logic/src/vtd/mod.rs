//! Intel VT-d: remapping of DMA and interrupts.
//!
//! A remapping unit translates the DMA requests of devices by the page tables of each function, and
//! interrupt messages by a table of the unit. It blocks all other requests and records them as
//! faults. This module contains the layouts of registers, tables and commands, and the operations
//! on them in the order in which a unit requires them. The kernel adds the memory and register
//! accesses ([`Memory`]).
//!
//! Sections are those of Intel's *Virtualization Technology for Directed I/O Architecture
//! Specification* 4.1.

use core::fmt;

pub mod capability;
pub mod command;
pub mod fault;
pub mod iova;
pub mod irte;
pub mod mapping;
pub mod register;
pub mod table;
#[cfg(test)]
mod tests;

pub use capability::{Capability, Extended, Levels};
pub use command::Command;

/// The size of a page and of a table, in bytes.
pub const PAGE: u64 = 4096;

/// The number of pages of `length` values of `size` bytes, at least 1; `None` if they exceed the
/// address space.
#[must_use]
pub const fn pages_of(length: usize, size: usize) -> Option<u64> {
    let Some(bytes) = (length as u64).checked_mul(size as u64) else {
        return None;
    };
    let pages = bytes.div_ceil(PAGE);
    match pages.checked_mul(PAGE) {
        None => None,
        Some(0) => Some(1),
        Some(_) => Some(pages),
    }
}

/// The ID of the sender of a request: bus, device and function of a PCI function, or the ID that
/// the DMAR gives an I/O APIC or an HPET (3.4.1).
///
/// `Display`: `00:1f.7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub u16);

impl SourceId {
    /// The ID of a function with these numbers; the bits above the valid ones are ignored.
    #[must_use]
    pub const fn new(bus: u8, device: u8, function: u8) -> Self {
        Self((bus as u16) << 8 | (device as u16 & 0x1f) << 3 | function as u16 & 7)
    }

    /// The bus.
    #[must_use]
    pub const fn bus(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// Device and function as one number, which is the index in a context table.
    #[must_use]
    pub const fn devfn(self) -> u8 {
        self.0 as u8
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let devfn = self.devfn();
        write!(f, "{:02x}:{:02x}.{}", self.bus(), devfn >> 3, devfn & 7)
    }
}

/// The ID of a domain: the tag of the translations of all functions with the same page tables.
/// Units with [caching mode](Capability::caching_mode) reserve 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub u16);

/// The memory of a unit's tables, and the unit's caches.
pub trait Memory {
    /// The reason why a command was not executed.
    type Error;

    /// Reads a word of a table.
    fn read(&self, address: u64) -> u64;

    /// Writes a word of a table, such that the unit reads the new value: for a unit without
    /// coherent table accesses, the cache line is written back.
    fn write(&mut self, address: u64, value: u64);

    /// A page of zeros for a table, which the unit reads as zeros; `None` if there is no memory.
    fn allocate(&mut self) -> Option<u64>;

    /// Executes commands, and returns when the unit has completed all of them.
    ///
    /// # Errors
    ///
    /// The unit rejected a command, or did not complete it in time.
    fn execute(&mut self, commands: &[Command]) -> Result<(), Self::Error>;
}
