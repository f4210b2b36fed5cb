//! Register definitions of the legacy devices of a PC.
//!
//! [`crate::pci`] describes devices found by PCI. The devices here are at fixed legacy addresses,
//! or at addresses from an ACPI table or the command line.

pub mod hpet;
pub mod i8042;
pub mod pit;
pub mod rtc;
pub mod virtio_mmio;
