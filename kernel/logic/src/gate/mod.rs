//! The entries of the IDT in all modes of the CPU.
//!
//! | mode | entry | type here |
//! |---|---|---|
//! | real | 4 bytes, `ip` and `cs` | [`RealModeVector`] |
//! | protected | 8 bytes: 16-bit, 32-bit or task gate | [`ProtectedGate`] |
//! | long | 16 bytes | [`Gate64`] |
//!
//! The kernel itself installs only [`Gate64`]. The other formats exist because the monitor shows
//! the tables that firmware and boot loaders leave behind, and because together with
//! [`lookup`](lookup()) they describe the complete lookup sequence of the CPU in a form that can be
//! executed and tested.
//!
//! Bit numbers count from bit 0 of the first byte of the entry (SDM vol. 3A, 7.11, figure 7-2;
//! 7.14.1, figure 7-8).

use core::fmt;

mod long;
mod lookup;
mod protected;
mod real;
#[cfg(test)]
mod tests;

pub use long::Gate64;
pub use lookup::{Fault, Idt, Mode, Source, Target, lookup};
pub use protected::{Gate16, Gate32, ProtectedGate, TaskGate};
pub use real::RealModeVector;

/// The kind of gate: whether the CPU clears IF (SDM vol. 3A, 7.12.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GateKind {
    /// Interrupt gate: clears IF, so the handler starts with maskable interrupts off.
    Interrupt,
    /// Trap gate: leaves IF unchanged.
    Trap,
}

impl fmt::Display for GateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Interrupt => "interrupt",
            Self::Trap => "trap",
        })
    }
}

/// An error in a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateError {
    /// Bits 44:40 (S and type) are not those of a gate in this mode.
    Type(u8),
    /// Reserved bits are set. Each bit of the mask is one of them, as numbered in the entry.
    Reserved(u128),
    /// The offset's bits 63:47 are not all equal.
    NonCanonical(u64),
    /// The index into the interrupt stack table is above 7.
    Ist(u8),
    /// The privilege level is above 3.
    Dpl(u8),
}

impl fmt::Display for GateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Type(bits) => {
                write!(
                    f,
                    "type {bits:#04x} (bits 44:40) is not a gate of this mode"
                )
            }
            Self::Reserved(mask) => {
                f.write_str("reserved bits are set:")?;
                for bit in (0..128).filter(|&bit| mask >> bit & 1 != 0) {
                    write!(f, " {bit}")?;
                }
                Ok(())
            }
            Self::NonCanonical(offset) => {
                write!(f, "offset {offset:#x} is not canonical: bits 63:47 differ")
            }
            Self::Ist(ist) => write!(f, "IST index {ist} is above 7"),
            Self::Dpl(dpl) => write!(f, "DPL {dpl} is above 3"),
        }
    }
}

impl core::error::Error for GateError {}

/// S (bit 44) and type (bits 43:40).
const fn type_bits(low: u64) -> u8 {
    (low >> 40) as u8 & 0x1f
}

/// DPL, bits 46:45.
const fn dpl_bits(low: u64) -> u8 {
    (low >> 45) as u8 & 3
}

/// P, bit 47.
const fn present_bit(low: u64) -> bool {
    low >> 47 & 1 != 0
}

/// The selector, bits 31:16.
const fn selector_bits(low: u64) -> u16 {
    (low >> 16) as u16
}

/// Encodes the fields common to the gates of protected and long mode.
const fn common(selector: u16, kind: u8, dpl: u8, present: bool) -> u64 {
    (selector as u64) << 16
        | (kind as u64 & 0x1f) << 40
        | (dpl as u64 & 3) << 45
        | (present as u64) << 47
}

/// Whether an address is canonical with 48-bit linear addresses: bits 63:47 are equal (SDM vol. 1,
/// 3.3.7.1).
const fn is_canonical(address: u64) -> bool {
    let upper = address >> 47;
    upper == 0 || upper == 0x1_ffff
}
