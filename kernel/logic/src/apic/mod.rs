//! Encodings of the local APIC, the I/O APIC and MSI.
//!
//! This module defines register locations, the meaning of their bits, legal state transitions, and
//! the arithmetic for timers. It does not access devices: the kernel reads and writes the
//! registers, this module encodes, decodes and decides.
//!
//! The same types describe both modes of the local APIC. Where the modes differ, the name of the
//! method contains the mode: [`Icr::encode_xapic`], [`Icr::encode_x2apic`].
//!
//! An encoder returns an error for a value that does not fit into the register, and never truncates
//! it: a truncated APIC ID above 254 in xAPIC mode would address another CPU.

use core::fmt;

pub mod base;
pub mod calibration;
pub mod icr;
pub mod io_apic;
pub mod lvt;
pub mod mode;
pub mod msi;
pub mod register;
pub mod rte;
pub mod status;
#[cfg(test)]
mod tests;
pub mod timer;

pub use base::{ApicBase, State};
pub use icr::{Destination, Icr};
pub use lvt::{Lvt, TimerMode};
pub use mode::{Mode, ModeOption, choose_mode};
pub use msi::{Msi, RemappableMsi};
pub use register::Register;
pub use rte::{RemappableRte, Rte};

/// The ID of a local APIC, by which interrupts are addressed to a CPU.
///
/// 8 bits in xAPIC mode, 32 in x2APIC mode. It is neither the CPU number in this kernel nor the
/// ACPI UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApicId(pub u32);

impl ApicId {
    /// The highest APIC ID of a CPU in xAPIC mode; 255 addresses all CPUs (SDM vol. 3A, 12.6.2.1).
    pub const XAPIC_MAX: Self = Self(254);
    /// The highest APIC ID of a CPU in x2APIC mode; the next value addresses all CPUs (SDM vol. 3A,
    /// 12.12.9).
    pub const X2APIC_MAX: Self = Self(0xffff_fffe);

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the ID in 8 bits, or `None` if it is above [`ApicId::XAPIC_MAX`].
    #[must_use]
    pub const fn xapic(self) -> Option<u8> {
        if self.0 <= Self::XAPIC_MAX.0 {
            Some(self.0 as u8)
        } else {
            None
        }
    }
}

/// Hexadecimal, because groups of bits encode socket, core and thread.
impl fmt::Display for ApicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

/// The polarity of an interrupt input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Polarity {
    /// Active high.
    High,
    /// Active low.
    Low,
}

impl Polarity {
    /// The bit in LVT and redirection entries: 1 is low.
    pub(crate) const fn bit(self) -> u64 {
        matches!(self, Self::Low) as u64
    }

    pub(crate) const fn from_bit(set: bool) -> Self {
        if set { Self::Low } else { Self::High }
    }
}

impl fmt::Display for Polarity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::High => "high",
            Self::Low => "low",
        })
    }
}

/// The trigger mode of an interrupt input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// One interrupt for each edge.
    Edge,
    /// Interrupts repeat for as long as the input is asserted.
    Level,
}

impl Trigger {
    /// The bit in ICR, LVT and redirection entries: 1 is level.
    pub(crate) const fn bit(self) -> u64 {
        matches!(self, Self::Level) as u64
    }

    pub(crate) const fn from_bit(set: bool) -> Self {
        if set { Self::Level } else { Self::Edge }
    }
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Edge => "edge",
            Self::Level => "level",
        })
    }
}

/// The delivery mode of an interrupt message (SDM vol. 3A, 12.5.1 and 12.6.1).
///
/// Not every source supports every mode; see the types of the registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Delivery {
    /// An interrupt with the given vector.
    Fixed = 0,
    /// Like [`Delivery::Fixed`], but to the addressed CPU with the lowest priority.
    LowestPriority = 1,
    /// A system-management interrupt. The vector must be 0.
    Smi = 2,
    /// A non-maskable interrupt. The vector is ignored.
    Nmi = 4,
    /// INIT. The vector must be 0.
    Init = 5,
    /// The start-up IPI. The vector is the number of the start page.
    StartUp = 6,
    /// An interrupt whose vector the CPU requests from the 8259.
    ExtInt = 7,
}

impl Delivery {
    /// All modes.
    pub const ALL: [Self; 7] = [
        Self::Fixed,
        Self::LowestPriority,
        Self::Smi,
        Self::Nmi,
        Self::Init,
        Self::StartUp,
        Self::ExtInt,
    ];

    /// Returns the mode with these three bits; `None` for 3, which is reserved.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits & 7 {
            0 => Some(Self::Fixed),
            1 => Some(Self::LowestPriority),
            2 => Some(Self::Smi),
            4 => Some(Self::Nmi),
            5 => Some(Self::Init),
            6 => Some(Self::StartUp),
            7 => Some(Self::ExtInt),
            _ => None,
        }
    }

    /// The mode in bits 10:8, where every register with a delivery mode has it.
    pub(crate) const fn field(self) -> u64 {
        (self as u64) << 8
    }

    /// The mode in bits 10:8 of a register.
    pub(crate) const fn from_field(register: u64) -> Option<Self> {
        Self::from_bits((register >> 8) as u8)
    }

    /// Whether the vector field holds a vector, which must not be below 16 (SDM vol. 3A, 12.5.2).
    #[must_use]
    pub const fn uses_vector(self) -> bool {
        matches!(self, Self::Fixed | Self::LowestPriority)
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fixed => "fixed",
            Self::LowestPriority => "lowest priority",
            Self::Smi => "SMI",
            Self::Nmi => "NMI",
            Self::Init => "INIT",
            Self::StartUp => "start-up",
            Self::ExtInt => "ExtINT",
        })
    }
}

/// An error of an encoder or decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodingError {
    /// The destination does not fit into the field.
    Destination {
        /// The destination.
        id: u32,
        /// The highest possible destination.
        max: u32,
    },
    /// The source does not support this delivery mode, or the mode is the reserved one (3).
    Delivery(u8),
    /// The vector is below 16; the APIC neither sends nor accepts such vectors.
    Vector(u8),
    /// The self and all-including-self shorthands do not support this mode.
    Shorthand(Delivery),
    /// A start-up IPI cannot encode this address: it is not that of a page below 1 MiB.
    StartUpAddress(u64),
    /// Reserved bits are set. Each bit of the mask is one of them.
    Reserved(u64),
    /// The entry or message has the other format: remappable instead of compatible, or vice versa.
    Format,
    /// The address is not that of an interrupt message: bits 31:20 are not 0FEEh, or higher bits
    /// are set.
    MessageAddress(u64),
}

impl fmt::Display for EncodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Destination { id, max } => {
                write!(f, "destination {id:#x} does not fit: at most {max:#x}")
            }
            Self::Delivery(bits) => match Delivery::from_bits(bits) {
                Some(mode) => write!(f, "delivery mode {mode} cannot be sent from here"),
                None => write!(f, "delivery mode {bits} is reserved"),
            },
            Self::Vector(vector) => write!(f, "vector {vector:#04x} is illegal: below 16"),
            Self::Shorthand(mode) => {
                write!(f, "delivery mode {mode} cannot be sent with this shorthand")
            }
            Self::StartUpAddress(address) => {
                write!(
                    f,
                    "a CPU cannot start at {address:#x}: not a page below 1 MiB"
                )
            }
            Self::Reserved(mask) => {
                f.write_str("reserved bits are set:")?;
                for bit in (0..64).filter(|&bit| mask >> bit & 1 != 0) {
                    write!(f, " {bit}")?;
                }
                Ok(())
            }
            Self::Format => f.write_str("of the other format (remappable or compatible)"),
            Self::MessageAddress(address) => {
                write!(f, "{address:#x} is not the address of an interrupt message")
            }
        }
    }
}

impl core::error::Error for EncodingError {}
