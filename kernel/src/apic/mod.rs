//! Interrupt controllers: the local APIC of each CPU, the I/O APICs, the 8259s.

pub mod in_service;
pub mod io;
pub mod local;
pub mod nmi;
pub mod pic;
mod registers;
mod send;

use core::ops::Range;

pub use local::{LocalApic, local};

/// Whether a range of physical addresses overlaps the registers of the local APIC or an I/O APIC.
pub(crate) fn is_register(addresses: Range<u64>) -> bool {
    let local = local::base_register().map_or(0, |base| base.address);
    let io = io::all().iter().map(|io_apic| io_apic.address);
    io.chain([local])
        .any(|page| page < addresses.end && addresses.start < page + REGISTERS)
}

/// Size of a controller's registers, in bytes.
const REGISTERS: u64 = 4096;

pub use tocsin_logic::vector::fixed as vectors;
