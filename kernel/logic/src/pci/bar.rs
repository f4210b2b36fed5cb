//! Base address registers: the address ranges that a function decodes (PCI, 6.2.5.1).
//!
//! The bits of a register that cannot be written determine its size. So sizing needs two values:
//! the original value, and the value read after writing all ones. With that value the function
//! would decode other addresses, so its decoding is disabled during sizing, and the original value
//! is restored before it is enabled again.

use core::fmt;
use core::iter::FusedIterator;

/// The offset of the first base address register. The others follow it.
pub const FIRST: u16 = 0x10;

/// A range of addresses that a function decodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// I/O ports.
    Io {
        /// The first port.
        port: u32,
        /// Number of ports.
        size: u32,
    },
    /// Memory.
    Memory {
        /// Physical address of the first byte, a multiple of the size; 0 if firmware gave none.
        address: u64,
        /// Size in bytes, a power of two, at least 16.
        size: u64,
        /// Whether the address is in two registers.
        is_64_bit: bool,
        /// Whether reads have no side effects and writes may be merged.
        prefetchable: bool,
    },
}

impl fmt::Display for Bar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Io { port, size } => write!(f, "ports {port:#06x} to {:#06x}", port + (size - 1)),
            Self::Memory {
                address,
                size,
                is_64_bit,
                prefetchable,
            } => {
                let width = if is_64_bit { 64 } else { 32 };
                let kind = if prefetchable { " prefetchable" } else { "" };
                write!(
                    f,
                    "memory {address:#x}, {}, {width}-bit{kind}",
                    crate::units::Bytes(size)
                )
            }
        }
    }
}

/// The reason why a base address register is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarError {
    /// A memory type (bits 2:1) that is neither 32-bit nor 64-bit. 1, "below 1 MiB", is reserved
    /// since PCI 3.0.
    Type(u8),
    /// A 64-bit register that is the last one of the header.
    NoUpperHalf,
    /// The writable bits, given here, are not one contiguous run up to the top.
    Mask(u64),
    /// The address is not a multiple of the size.
    Misaligned {
        /// The address or port.
        address: u64,
        /// The size.
        size: u64,
    },
}

impl fmt::Display for BarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type(kind) => write!(f, "memory type {kind} is neither 32 nor 64 bits"),
            Self::NoUpperHalf => {
                f.write_str("a 64-bit address in the last register has no upper half")
            }
            Self::Mask(mask) => write!(f, "writable bits {mask:#x} are not one run up to the top"),
            Self::Misaligned { address, size } => {
                write!(f, "{address:#x} is no multiple of the size, {size:#x}")
            }
        }
    }
}

impl core::error::Error for BarError {}

/// Bit 0: I/O ports instead of memory.
const IO: u32 = 1 << 0;
/// Bit 3: prefetchable memory.
const PREFETCHABLE: u32 = 1 << 3;

/// Decodes a header's registers: `values` are the original values, `masks` those read after writing
/// all ones. Yields each range with the number of its (first) register; unimplemented registers are
/// skipped.
///
/// # Panics
///
/// If there are more values than masks.
#[must_use]
pub const fn decode<'a>(values: &'a [u32], masks: &'a [u32]) -> Bars<'a> {
    assert!(values.len() <= masks.len());
    Bars {
        values,
        masks,
        next: 0,
    }
}

/// The iterator of [`decode`].
#[derive(Clone, Debug)]
pub struct Bars<'a> {
    values: &'a [u32],
    masks: &'a [u32],
    next: usize,
}

impl Bars<'_> {
    /// The register at `index`, and the number of registers that it uses.
    fn read(&self, index: usize) -> (Option<Result<Bar, BarError>>, usize) {
        let (value, mask) = (self.values[index], self.masks[index]);
        if value & IO != 0 {
            return (io(value, mask).transpose(), 1);
        }
        let prefetchable = value & PREFETCHABLE != 0;
        let memory = |address, size| Bar::Memory {
            address,
            size,
            is_64_bit: value >> 1 & 3 == 2,
            prefetchable,
        };
        match value >> 1 & 3 {
            _ if mask & !0xf == 0 && value >> 1 & 3 != 2 => (None, 1),
            0 => {
                // Bits above 31 count as writable: the run ends at the top of 32 bits.
                let writable = u64::from(mask & !0xf) | !0xffff_ffff;
                let base = u64::from(value & !0xf);
                (
                    Some(range(base, writable).map(|(at, size)| memory(at, size))),
                    1,
                )
            }
            2 => {
                let (Some(&high), Some(&high_mask)) =
                    (self.values.get(index + 1), self.masks.get(index + 1))
                else {
                    return (Some(Err(BarError::NoUpperHalf)), 1);
                };
                let writable = u64::from(mask & !0xf) | u64::from(high_mask) << 32;
                if writable == 0 {
                    return (None, 2);
                }
                let base = u64::from(value & !0xf) | u64::from(high) << 32;
                (
                    Some(range(base, writable).map(|(at, size)| memory(at, size))),
                    2,
                )
            }
            kind => (Some(Err(BarError::Type(kind as u8))), 1),
        }
    }
}

/// A range of ports, if the register is implemented.
fn io(value: u32, mask: u32) -> Result<Option<Bar>, BarError> {
    let mask = mask & !3;
    if mask == 0 {
        return Ok(None);
    }
    // The upper half may be hardwired to 0, because PCs have 64 Ki ports (PCI, 6.2.5.1).
    let upper = if mask >> 16 == 0 { 0xffff_0000 } else { 0 };
    let writable = u64::from(mask | upper) | !0xffff_ffff;
    let (port, size) = range(u64::from(value & !3), writable)?;
    // Both come from 32-bit values.
    Ok(Some(Bar::Io {
        port: port as u32,
        size: size as u32,
    }))
}

/// Address and size, from the address bits and the writable ones among them.
fn range(address: u64, writable: u64) -> Result<(u64, u64), BarError> {
    let size = writable & writable.wrapping_neg();
    if writable != size.wrapping_neg() {
        return Err(BarError::Mask(writable));
    }
    if address & (size - 1) != 0 {
        return Err(BarError::Misaligned { address, size });
    }
    Ok((address, size))
}

impl Iterator for Bars<'_> {
    type Item = (u8, Result<Bar, BarError>);

    fn next(&mut self) -> Option<Self::Item> {
        while self.next < self.values.len() {
            let index = self.next;
            let (found, taken) = self.read(index);
            self.next += taken;
            if let Some(result) = found {
                // A header has at most six; a larger number from the caller still fits.
                return Some((index as u8, result));
            }
        }
        None
    }
}

impl FusedIterator for Bars<'_> {}
