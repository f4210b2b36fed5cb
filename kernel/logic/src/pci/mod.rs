//! PCI configuration space: enumeration, resources and interrupts.
//!
//! This module accesses no registers. It reads through closures, always aligned 32-bit registers,
//! which both access mechanisms provide and every function must support. It returns writes as
//! values, in the required order.
//!
//! The contents of configuration space come from devices and are not trusted: every walk is bounded
//! for any contents, and invalid values are reported as specific errors.
//!
//! "PCI" is the *PCI Local Bus Specification*, revision 3.0; "PCI bridge" the *PCI-to-PCI Bridge
//! Architecture Specification*, revision 1.2; "Express" the *PCI Express Base Specification*,
//! revision 5.0; "codes" the *PCI Code and ID Assignment Specification*.

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

/// Size in bytes of the configuration space of every function.
pub const CONFIG_SIZE: u16 = 0x100;
/// Size in bytes of the configuration space of a PCI Express function, if it is memory-mapped.
pub const EXTENDED_SIZE: u16 = 0x1000;
