//! The generic address structure (ACPI, 5.2.3.2).

use core::fmt;

/// The address space of a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressSpace {
    /// Physical memory, 0.
    Memory,
    /// I/O ports, 1.
    Io,
    /// PCI configuration space of a device on bus 0, 2.
    PciConfiguration,
    /// Any other address space.
    Other(u8),
}

impl AddressSpace {
    /// The identifier of the address space.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Memory => 0,
            Self::Io => 1,
            Self::PciConfiguration => 2,
            Self::Other(number) => number,
        }
    }

    const fn from_number(number: u8) -> Self {
        match number {
            0 => Self::Memory,
            1 => Self::Io,
            2 => Self::PciConfiguration,
            other => Self::Other(other),
        }
    }
}

/// The address of a register. Firmware often sets the width and the access size to 0 or to a wrong
/// value, so drivers should use the known width of the register instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenericAddress {
    /// The address space.
    pub space: AddressSpace,
    /// The register's width in bits.
    pub bit_width: u8,
    /// The offset of the register's first bit.
    pub bit_offset: u8,
    /// The access size: 1 byte, 2 word, 3 double word, 4 quad word, 0 undefined.
    pub access_size: u8,
    /// The address within the address space.
    pub address: u64,
}

impl GenericAddress {
    /// The size of the structure, in bytes.
    pub const SIZE: usize = 12;

    pub(super) fn read(bytes: &[u8], offset: usize) -> Option<Self> {
        let [space, bit_width, bit_offset, access_size] = super::bytes_at(bytes, offset)?;
        Some(Self {
            space: AddressSpace::from_number(space),
            bit_width,
            bit_offset,
            access_size,
            address: super::u64_at(bytes, offset + 4)?,
        })
    }
}

impl fmt::Display for GenericAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.space {
            AddressSpace::Memory => write!(f, "memory {:#x}", self.address),
            AddressSpace::Io => write!(f, "port {:#x}", self.address),
            AddressSpace::PciConfiguration => write!(
                f,
                "PCI 0:{:02x}.{} configuration {:#x}",
                self.address >> 32 & 0xffff,
                self.address >> 16 & 0xffff,
                self.address & 0xffff
            ),
            AddressSpace::Other(space) => write!(f, "space {space} {:#x}", self.address),
        }
    }
}
