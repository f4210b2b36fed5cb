//! ACPI tables as bytes: found, checked and taken apart.
//!
//! Firmware writes these tables, and firmware has bugs. Each function here takes
//! the bytes that were mapped and gives typed values or an [`Error`] that says
//! which table, where in it, what is wrong and [whose fault](Error::blame) it
//! is. None of them panics, hangs or reads past the end, whatever the bytes are.
//!
//! In a table that is sound as a whole, one bad entry costs that entry: the walks
//! yield the error in its place and go on wherever the entry's length allows it.
//!
//! The order of use: [`rsdp::parse`], then for each table [`sdt::Header::parse`]
//! on its first 36 bytes, map [`length`](sdt::Header::length) bytes, and the
//! table's own parser, which does [`sdt::check`] first. Addresses come from
//! [`root::entries`].
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

pub use error::{Blame, Error, ErrorKind};
pub use gas::{AddressSpace, GenericAddress};
pub use madt::Madt;
pub use signature::Signature;
pub use text::Text;

/// A global system interrupt: ACPI's number of an interrupt input. The I/O APICs
/// share out these numbers among their pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gsi(pub u32);

impl Gsi {
    /// Its number.
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

/// A value, and where it stands in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// Bytes from the start of the table.
    pub offset: usize,
    /// The value.
    pub value: T,
}

/// A number of `N` bytes at an offset; `None` if they are not all there.
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

/// The sum of the bytes, which is 0 for a whole table.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}
