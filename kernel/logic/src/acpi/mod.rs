//! Parsers for ACPI tables.
//!
//! Firmware provides these tables, and they may be invalid. Each function takes the mapped bytes
//! and returns typed values or an [`Error`] that identifies the table, the offset, the problem and
//! [the component that caused it](Error::fault). None of them panics, loops forever or reads out of
//! bounds, whatever the bytes are.
//!
//! In a table that is valid as a whole, an invalid entry does not affect the others: the iterators
//! yield the error in its place and continue if the entry's length permits.
//!
//! To read the tables, call [`rsdp::parse`]; then for each table call [`sdt::Header::parse`] on the
//! first 36 bytes, map [`length`](sdt::Header::length) bytes, and call the parser of the table,
//! which first performs [`sdt::check`]. The addresses come from [`root::entries`].
//!
//! "ACPI" is the *Advanced Configuration and Power Interface Specification* 6.5.

use core::fmt;

#[cfg(test)]
pub(crate) mod build;
pub mod dmar;
mod error;
pub mod fadt;
mod gas;
pub mod hpet;
pub mod madt;
pub mod mcfg;
pub mod root;
pub mod rsdp;
pub mod sdt;
mod signature;
#[cfg(test)]
mod tests;
mod text;

pub use dmar::Dmar;
pub use error::{Error, ErrorKind, Fault};
pub use gas::{AddressSpace, GenericAddress};
pub use madt::Madt;
pub use signature::Signature;
pub use text::Text;

/// A global system interrupt: the ACPI number of an interrupt input. Each I/O APIC pin has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gsi(pub u32);

impl Gsi {
    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Gsi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A value and its offset in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The offset in bytes from the start of the table.
    pub offset: usize,
    /// The value.
    pub value: T,
}

/// The `N` bytes at an offset; `None` if they extend beyond the end.
fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes_at(bytes, offset).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes_at(bytes, offset).map(u32::from_le_bytes)
}

fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    bytes_at(bytes, offset).map(u64::from_le_bytes)
}

/// The sum of the bytes, modulo 256, which is 0 for a valid table.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}
