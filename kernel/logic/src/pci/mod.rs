//! PCI configuration space as bits: who is there, what it decodes, how it interrupts.
//!
//! Nothing here reads a register by itself. What has to be read comes through closures,
//! always as aligned 32-bit registers, which both ways to configuration space can do and
//! every function must answer. What has to be written is given as values, in the order in
//! which they are to be written.
//!
//! The contents of configuration space are a device's word and not to be trusted: every
//! walk is bounded whatever it reads, and what makes no sense is an error with a name.
//!
//! "PCI" is the *PCI Local Bus Specification*, revision 3.0; "PCI bridge" the *PCI-to-PCI
//! Bridge Architecture Specification*, revision 1.2; "Express" the *PCI Express Base
//! Specification*, revision 5.0; "codes" the *PCI Code and ID Assignment Specification*.

pub mod address;
pub mod bar;
pub mod capability;
pub mod class;
pub mod command;
pub mod express;
pub mod extended;
pub mod header;
pub mod msi;
pub mod msix;
#[cfg(test)]
mod tests;
pub mod virtio;
pub mod walk;

pub use address::{Address, AddressError};
pub use bar::{Bar, BarError};
pub use capability::{Capability, CapabilityError};
pub use class::Class;
pub use header::{Header, Layout, Pin};
pub use msi::MsiCapability;
pub use msix::MsixCapability;
pub use walk::{Found, Walk, WalkProblem};

/// Bytes of configuration space that every function has.
pub const CONFIG_SIZE: u16 = 0x100;
/// Bytes that a PCI Express function has, where configuration space is memory.
pub const EXTENDED_SIZE: u16 = 0x1000;
