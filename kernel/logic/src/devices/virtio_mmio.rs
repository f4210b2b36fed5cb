//! Virtio devices in memory: their registers (Virtual I/O Device 1.2, 4.2.2), and the words that say
//! where one is.
//!
//! The words are Linux's: `SIZE@ADDRESS:GSI`, as `512@0xfeb00e00:31`. A number may be followed by K, M
//! or G; a `:ID` at the end, which only Linux has a use for, is checked and left.

use crate::script::{NumberError, parse_number};
use core::fmt;

/// Offsets of the registers, all of 32 bits.
pub mod register {
    /// Reads as [`super::MAGIC`].
    pub const MAGIC: u64 = 0x000;
    /// Of the registers: 2; 1 is from before virtio 1.
    pub const VERSION: u64 = 0x004;
    /// The type of the device; 0 where none is plugged in.
    pub const DEVICE: u64 = 0x008;
    /// The 32 features that were selected.
    pub const DEVICE_FEATURES: u64 = 0x010;
    /// Selects 32 of them.
    pub const DEVICE_FEATURES_SELECT: u64 = 0x014;
    /// The features that the driver takes.
    pub const DRIVER_FEATURES: u64 = 0x020;
    /// Selects 32 of them.
    pub const DRIVER_FEATURES_SELECT: u64 = 0x024;
    /// Selects the queue that the next registers are of.
    pub const QUEUE_SELECT: u64 = 0x030;
    /// The most entries.
    pub const QUEUE_SIZE_MAX: u64 = 0x034;
    /// The entries in use.
    pub const QUEUE_SIZE: u64 = 0x038;
    /// Whether the queue is in use.
    pub const QUEUE_READY: u64 = 0x044;
    /// Written with a queue's number: it has something new.
    pub const QUEUE_NOTIFY: u64 = 0x050;
    /// Why the device interrupts: bit 0, a buffer was used; bit 1, its configuration has changed.
    pub const INTERRUPT_STATUS: u64 = 0x060;
    /// Written with bits of the status: they are answered.
    pub const INTERRUPT_ACKNOWLEDGE: u64 = 0x064;
    /// The device status; 0 resets.
    pub const STATUS: u64 = 0x070;
    /// Address of the descriptors, in two registers.
    pub const QUEUE_DESCRIPTORS: u64 = 0x080;
    /// Address of what the driver writes.
    pub const QUEUE_DRIVER: u64 = 0x090;
    /// Address of what the device writes.
    pub const QUEUE_DEVICE: u64 = 0x0a0;
}

/// "virt", in little-endian order.
pub const MAGIC: u32 = 0x7472_6976;

/// The version of the registers that are described here.
pub const VERSION: u32 = 2;

/// The bytes of the registers without the device's own configuration.
pub const LENGTH: u64 = 0x100;

/// Where a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Bytes of registers, at least [`LENGTH`].
    pub size: u64,
    /// Physical address of the registers, a multiple of 8.
    pub address: u64,
    /// The GSI of its interrupt.
    pub gsi: u32,
}

/// Why a text is no [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// There is no `@` after the size.
    NoAddress,
    /// There is no `:` after the address.
    NoGsi,
    /// A number is none; which, and why.
    Number(Part, NumberError),
    /// A size below [`LENGTH`].
    Small(u64),
    /// An address that is no multiple of 8, or a range that does not end below 2^52.
    Address(u64),
    /// A GSI of more than 32 bits.
    Gsi(u64),
}

/// A part of a [`Place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// In front of the `@`.
    Size,
    /// Between `@` and `:`.
    Address,
    /// After the `:`.
    Gsi,
    /// After the second `:`.
    Id,
}

impl Place {
    /// Reads `SIZE@ADDRESS:GSI` or `SIZE@ADDRESS:GSI:ID`.
    ///
    /// # Errors
    ///
    /// [`PlaceError`] says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, PlaceError> {
        let (size, rest) = text.split_once('@').ok_or(PlaceError::NoAddress)?;
        let (address, rest) = rest.split_once(':').ok_or(PlaceError::NoGsi)?;
        let (gsi, id) = match rest.split_once(':') {
            Some((gsi, id)) => (gsi, Some(id)),
            None => (rest, None),
        };
        let size = number(size, Part::Size)?;
        let address = number(address, Part::Address)?;
        let gsi = number(gsi, Part::Gsi)?;
        if let Some(id) = id {
            number(id, Part::Id)?;
        }
        if size < LENGTH {
            return Err(PlaceError::Small(size));
        }
        let end = address.checked_add(size);
        if address % 8 != 0 || end.is_none_or(|end| end > 1 << 52) {
            return Err(PlaceError::Address(address));
        }
        let gsi = u32::try_from(gsi).map_err(|_| PlaceError::Gsi(gsi))?;
        Ok(Self { size, address, gsi })
    }
}

/// A number, maybe in units of K, M or G.
fn number(text: &str, part: Part) -> Result<u64, PlaceError> {
    let error = |error| PlaceError::Number(part, error);
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let value = parse_number(digits).map_err(error)?;
    value
        .checked_mul(1 << shift)
        .ok_or(error(NumberError::TooLarge))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:#x}:{}", self.size, self.address, self.gsi)
    }
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAddress => f.write_str("there is no @ between size and address"),
            Self::NoGsi => f.write_str("there is no : between address and GSI"),
            Self::Number(part, error) => write!(f, "the {part}: {error}"),
            Self::Small(size) => {
                write!(
                    f,
                    "the size: {size} bytes do not hold the {LENGTH} of the registers"
                )
            }
            Self::Address(address) => write!(
                f,
                "the address: {address:#x} is no multiple of 8, or too high"
            ),
            Self::Gsi(gsi) => write!(f, "the GSI: {gsi} has more than 32 bits"),
        }
    }
}

impl core::error::Error for PlaceError {}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Size => "size",
            Self::Address => "address",
            Self::Gsi => "GSI",
            Self::Id => "ID",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::string::ToString;

    fn place(size: u64, address: u64, gsi: u32) -> Place {
        Place { size, address, gsi }
    }

    #[test]
    fn linux_words_are_taken() {
        assert_eq!(
            Place::parse("512@0xfeb00e00:31"),
            Ok(place(512, 0xfeb0_0e00, 31))
        );
        assert_eq!(
            Place::parse("4K@0xd0000000:5:0"),
            Ok(place(4096, 0xd000_0000, 5))
        );
        assert_eq!(Place::parse("0x200@1g:0x2f"), Ok(place(512, 1 << 30, 47)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, message) in [
            ("", "there is no @ between size and address"),
            ("512", "there is no @ between size and address"),
            ("512@0xfeb00e00", "there is no : between address and GSI"),
            (
                "@0xfeb00e00:31",
                "the size: a number is missing; write 32, 0x20, 0o40 or 0b100000",
            ),
            (
                "512@feb00e00:31",
                "the address: 'f' is not a decimal digit; hexadecimal numbers begin with 0x",
            ),
            (
                "512@0xfeb00e00:",
                "the GSI: a number is missing; write 32, 0x20, 0o40 or 0b100000",
            ),
            (
                "512@0xfeb00e00:31:x",
                "the ID: 'x' is not a decimal digit; hexadecimal numbers begin with 0x",
            ),
            (
                "255@0xfeb00e00:31",
                "the size: 255 bytes do not hold the 256 of the registers",
            ),
            (
                "512@0xfeb00e04:31",
                "the address: 0xfeb00e04 is no multiple of 8, or too high",
            ),
            (
                "512@0xfffffffffffff:31",
                "the address: 0xfffffffffffff is no multiple of 8, or too high",
            ),
            (
                "512@0xffffffffffffff00:31",
                "the address: 0xffffffffffffff00 is no multiple of 8, or too high",
            ),
            (
                "512@0xfeb00e00:4294967296",
                "the GSI: 4294967296 has more than 32 bits",
            ),
            (
                "17179869184G@0:1",
                "the size: the number is above 0xffffffffffffffff",
            ),
        ] {
            let error = Place::parse(text).unwrap_err();
            assert_eq!(error.to_string(), message, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_place_or_an_error(text in "\\PC*") {
            let _ = Place::parse(&text);
        }

        #[test]
        fn a_place_is_read_as_it_is_shown(
            size in LENGTH..1 << 40,
            address in 0_u64..1 << 40,
            gsi in any::<u32>(),
        ) {
            let place = Place { size, address: address * 8, gsi };
            prop_assert_eq!(Place::parse(&place.to_string()), Ok(place));
        }
    }
}
