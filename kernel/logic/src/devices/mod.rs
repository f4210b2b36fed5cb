//! The registers of a PC's own devices: what their bits mean, and what to write.
//!
//! A device that PCI finds is described in [`crate::pci`]. These here are at addresses that are as old
//! as the PC, that an ACPI table names, or that the command line gives.

pub mod hpet;
pub mod i8042;
pub mod pit;
pub mod rtc;
pub mod virtio_mmio;
