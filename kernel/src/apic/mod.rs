//! Interrupt controllers: the local APIC of each CPU, the I/O APICs, the 8259s.

pub mod io;
pub mod local;
pub mod nmi;
pub mod pic;
mod send;
pub mod service;

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

/// Vectors that the controllers themselves use.
///
/// The low bits of the spurious vector are all set, because they are hardwired in old local APICs.
/// The spurious and error vectors are in the highest class, so that no device delays them.
pub mod vectors {
    use tocsin_logic::vector::Vector;

    /// The local APIC timer.
    pub const TIMER: Vector = Vector(0xe0);
    /// Internal errors of the local APIC.
    pub const ERROR: Vector = Vector(0xfe);
    /// Spurious interrupt: an interrupt withdrawn before its delivery; takes no EOI.
    pub const SPURIOUS: Vector = Vector(0xff);
}
