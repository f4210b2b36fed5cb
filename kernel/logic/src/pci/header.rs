//! The header of a function's configuration space (PCI, 6.1 and 6.2).

use super::Class;
use core::fmt;

/// A function's interrupt pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Pin {
    /// INTA.
    A = 1,
    /// INTB.
    B,
    /// INTC.
    C,
    /// INTD.
    D,
}

impl Pin {
    /// Decodes the interrupt pin register; 0 is no pin, and 5 and above are reserved (PCI, 6.2.4).
    #[must_use]
    pub const fn from_register(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::A),
            2 => Some(Self::B),
            3 => Some(Self::C),
            4 => Some(Self::D),
            _ => None,
        }
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::D => "D",
        })
    }
}

/// The type-specific part of the header: bits 6:0 of the header type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Type 0: a device.
    Device {
        /// The vendor of the subsystem.
        subsystem_vendor: u16,
        /// The subsystem ID.
        subsystem: u16,
    },
    /// Type 1: a bridge to another PCI bus (PCI bridge, 3.2).
    Bridge {
        /// The bus on which it is, according to its register.
        primary: u8,
        /// The bus behind it; 0 until firmware has assigned one.
        secondary: u8,
        /// The highest bus behind it.
        subordinate: u8,
    },
    /// Type 2: a bridge to `CardBus`.
    CardBus,
    /// A header type that no specification defines.
    Reserved(u8),
}

impl Layout {
    /// Number of base address registers in the header.
    #[must_use]
    pub const fn bars(self) -> usize {
        match self {
            Self::Device { .. } => 6,
            Self::Bridge { .. } => 2,
            Self::CardBus => 1,
            Self::Reserved(_) => 0,
        }
    }
}

/// A function's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The vendor ID.
    pub vendor: u16,
    /// The device ID, assigned by the vendor.
    pub device: u16,
    /// The revision ID.
    pub revision: u8,
    /// The class code.
    pub class: Class,
    /// Header type, bit 7: whether the device has more functions than this. Only valid in function
    /// 0.
    pub multifunction: bool,
    /// The type-specific part.
    pub layout: Layout,
    /// The offset of the first capability.
    pub capabilities: Option<u8>,
    /// Its interrupt pin.
    pub pin: Option<Pin>,
    /// The value that firmware wrote into the interrupt line register: on a PC, the 8259 input to
    /// which the pin is routed. `None` for 255, "unknown or no connection" (PCI, 6.2.4).
    pub line: Option<u8>,
}

impl Header {
    /// Reads a header through `read`, which returns the 32-bit register at an offset. `None` if
    /// there is no such function: its vendor ID then reads as 0xffff (PCI, 6.1), and no other
    /// register is read. IDs of 0 are rejected too: memory that is not configuration space may read
    /// as 0.
    pub fn read(mut read: impl FnMut(u16) -> u32) -> Option<Self> {
        let ids = read(0x00);
        if ids as u16 == 0xffff || ids == 0 {
            return None;
        }
        let has_capabilities = read(0x04) & 1 << 20 != 0;
        let class = read(0x08);
        let [_, _, kind, _] = read(0x0c).to_le_bytes();
        let layout = match kind & 0x7f {
            0 => {
                let subsystem = read(0x2c);
                Layout::Device {
                    subsystem_vendor: subsystem as u16,
                    subsystem: (subsystem >> 16) as u16,
                }
            }
            1 => {
                let [primary, secondary, subordinate, _] = read(0x18).to_le_bytes();
                Layout::Bridge {
                    primary,
                    secondary,
                    subordinate,
                }
            }
            2 => Layout::CardBus,
            other => Layout::Reserved(other),
        };
        let pointer = match layout {
            Layout::Reserved(_) => None,
            Layout::CardBus => Some(0x14),
            Layout::Device { .. } | Layout::Bridge { .. } => Some(0x34),
        };
        let [line, pin, _, _] = read(0x3c).to_le_bytes();
        Some(Self {
            vendor: ids as u16,
            device: (ids >> 16) as u16,
            revision: class as u8,
            class: Class::from_register(class),
            multifunction: kind & 0x80 != 0,
            layout,
            capabilities: pointer
                .filter(|_| has_capabilities)
                .map(|pointer| read(pointer) as u8),
            pin: Pin::from_register(pin),
            line: Some(line).filter(|&line| line != 0xff),
        })
    }
}
