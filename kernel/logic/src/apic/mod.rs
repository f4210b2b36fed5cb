//! The local APIC, the I/O APIC and MSI as bits.
//!
//! Which register lies where, what its bits mean, which changes are legal, and
//! what the numbers read from timers say. Nothing here touches a device: the
//! kernel reads and writes, this module encodes, decodes and decides.
//!
//! Both forms of the local APIC are described by the same types. Where the forms
//! differ, a method names the form: [`Icr::encode_xapic`], [`Icr::encode_x2apic`].
//!
//! A value that its register cannot hold is an error of the encoder, never cut
//! short: an APIC ID above 254 in xAPIC form would reach another CPU.

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

/// The number by which interrupts are addressed to a CPU.
///
/// 8 bits in xAPIC mode, 32 in x2APIC mode. It is neither the CPU's number in
/// this kernel nor its ACPI UID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApicId(pub u32);

impl ApicId {
    /// The highest ID that a CPU can have in xAPIC mode; 255 addresses all CPUs
    /// (SDM vol. 3A, 12.6.2.1).
    pub const XAPIC_MAX: Self = Self(254);
    /// The highest ID that a CPU can have in x2APIC mode; the next one addresses
    /// all CPUs (SDM vol. 3A, 12.12.9).
    pub const X2APIC_MAX: Self = Self(0xffff_fffe);

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The ID in 8 bits, or `None` if it is above [`ApicId::XAPIC_MAX`].
    #[must_use]
    pub const fn xapic(self) -> Option<u8> {
        if self.0 <= Self::XAPIC_MAX.0 {
            Some(self.0 as u8)
        } else {
            None
        }
    }
}

/// Hexadecimal, because the bits are socket, core and thread.
impl fmt::Display for ApicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

/// The level at which an interrupt input is asserted.
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

/// Whether an input counts its edges or holds its level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// One interrupt for each edge.
    Edge,
    /// One interrupt after the other while the input is asserted.
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

/// What an interrupt message does at the CPU (SDM vol. 3A, 12.5.1 and 12.6.1).
///
/// Not every source can send every mode; the registers' types say which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Delivery {
    /// An interrupt with the given vector.
    Fixed = 0,
    /// The same, at the CPU of those addressed that has the lowest priority.
    LowestPriority = 1,
    /// A system-management interrupt. The vector must be 0.
    Smi = 2,
    /// A non-maskable interrupt. The vector is ignored.
    Nmi = 4,
    /// INIT. The vector must be 0.
    Init = 5,
    /// The start-up IPI. The vector is the number of the page to start at.
    StartUp = 6,
    /// The CPU asks the 8259 for the vector.
    ExtInt = 7,
}

impl Delivery {
    /// Every mode.
    pub const ALL: [Self; 7] = [
        Self::Fixed,
        Self::LowestPriority,
        Self::Smi,
        Self::Nmi,
        Self::Init,
        Self::StartUp,
        Self::ExtInt,
    ];

    /// The mode with these three bits; `None` for 3, which is reserved.
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

    /// The three bits, in place: 10:8 of every register that has them.
    pub(crate) const fn field(self) -> u64 {
        (self as u64) << 8
    }

    /// From bits 10:8 of a register.
    pub(crate) const fn from_field(register: u64) -> Option<Self> {
        Self::from_bits((register >> 8) as u8)
    }

    /// Whether the vector is used as a vector, and so must not be below 16
    /// (SDM vol. 3A, 12.5.2).
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

/// Why a value cannot be encoded or decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodingError {
    /// The destination has more bits than the register: the ID and the highest
    /// one that fits.
    Destination {
        /// The number that was to be written.
        id: u32,
        /// The highest that can be.
        max: u32,
    },
    /// The source cannot send this mode, or the mode's three bits are the
    /// reserved ones (3).
    Delivery(u8),
    /// The vector is below 16, which the APIC refuses to send or accept.
    Vector(u8),
    /// The two shorthands that name several CPUs cannot send this mode.
    Shorthand(Delivery),
    /// The address does not begin a page below 1 MiB, so that a start-up IPI can
    /// name it.
    StartUpAddress(u64),
    /// Reserved bits are set; one bit each.
    Reserved(u64),
    /// The entry or message is of the other format: remappable instead of
    /// compatible, or the reverse.
    Format,
    /// The address is not that of an interrupt message: bits 31:20 are not 0FEEh,
    /// or bits above are set.
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
