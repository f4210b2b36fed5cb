//! The HPET description table (IA-PC HPET specification 1.0a, 3.2.4).

use super::sdt::{self, Header};
use super::{AddressSpace, Error, ErrorKind, GenericAddress, Signature, u16_at, u32_at};

/// The size of the table, in bytes.
const SIZE: usize = 56;

/// An HPET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hpet {
    /// The table header.
    pub header: Header,
    /// The low half of the capabilities register, as read by firmware.
    pub hardware_id: u32,
    /// Physical address of the registers, 1 KiB. The width and the access size of the table's
    /// address are ignored, because firmware leaves them 0.
    pub address: u64,
    /// The sequence number of this HPET among those of the machine.
    pub number: u8,
    /// The minimum number of ticks between two interrupts of a periodic comparator; 0 if firmware
    /// does not report it.
    pub minimum_tick: u16,
    /// Page protection and OEM attributes.
    pub attributes: u8,
}

impl Hpet {
    /// The hardware revision: bits 7:0, never 0 on real hardware.
    #[must_use]
    pub const fn revision(&self) -> u8 {
        self.hardware_id as u8
    }

    /// The number of comparators, 1 to 32: bits 12:8 plus 1.
    #[must_use]
    pub const fn comparators(&self) -> u8 {
        (self.hardware_id >> 8) as u8 % 32 + 1
    }

    /// Bit 13: the main counter is 64 bits wide; otherwise 32.
    #[must_use]
    pub const fn is_64_bit(&self) -> bool {
        self.hardware_id & 1 << 13 != 0
    }

    /// Bit 15: the HPET can replace the PIT and RTC interrupts.
    #[must_use]
    pub const fn legacy_replacement(&self) -> bool {
        self.hardware_id & 1 << 15 != 0
    }

    /// The PCI vendor ID: bits 31:16.
    #[must_use]
    pub const fn vendor(&self) -> u16 {
        (self.hardware_id >> 16) as u16
    }
}

/// Reads an HPET table.
///
/// # Errors
///
/// The errors of [`sdt::check`], [`ErrorKind::Signature`], [`ErrorKind::Length`] below 56 bytes,
/// [`ErrorKind::Space`] unless the registers are in memory, [`ErrorKind::NoAddress`], and
/// [`ErrorKind::Address`] if the address is not aligned to 8 bytes, as the registers require, or
/// not below 2^52.
pub fn parse(bytes: &[u8]) -> Result<Hpet, Error> {
    let (header, table) = sdt::expect(bytes, Signature::HPET, SIZE)?;
    let error = |offset, kind| Error::new(Signature::HPET, offset, kind);
    let Some(register) = GenericAddress::read(table, 40) else {
        return Err(error(40, ErrorKind::NoAddress));
    };
    if register.space != AddressSpace::Memory {
        return Err(error(40, ErrorKind::Space(register.space.number())));
    }
    match register.address {
        0 => return Err(error(44, ErrorKind::NoAddress)),
        address if address % 8 != 0 || address >= 1 << 52 => {
            return Err(error(44, ErrorKind::Address(address)));
        }
        _ => {}
    }
    Ok(Hpet {
        header,
        hardware_id: u32_at(table, 36).unwrap_or_default(),
        address: register.address,
        number: table[52],
        minimum_tick: u16_at(table, 53).unwrap_or_default(),
        attributes: table[55],
    })
}
