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
/// The spurious vector has all low bits set, because old local APICs have them wired so. It and the
/// error vector are in the highest class: neither waits behind a device.
pub mod vectors {
    use tocsin_logic::vector::Vector;

    /// The local APIC's timer.
    pub const TIMER: Vector = Vector(0xe0);
    /// Errors of the local APIC itself.
    pub const ERROR: Vector = Vector(0xfe);
    /// An interrupt that went away before it was delivered; takes no EOI.
    pub const SPURIOUS: Vector = Vector(0xff);
}
