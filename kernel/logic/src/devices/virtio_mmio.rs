//! Virtio over MMIO: the registers (Virtual I/O Device 1.2, 4.2.2), and the syntax of a device
//! location on the command line.
//!
//! The syntax is that of Linux: `SIZE@ADDRESS:GSI`, for example `512@0xfeb00e00:31`. A size,
//! address or GSI may have the suffix K, M or G. An `:ID` at the end, which only Linux uses, is
//! checked and ignored.

use crate::script::{NumberError, parse_number};
use core::fmt;

/// Register offsets. All registers are 32 bits wide.
pub mod register {
    /// Reads as [`super::MAGIC`].
    pub const MAGIC: u64 = 0x000;
    /// Version of the register layout: 2; 1 for legacy devices before virtio 1.
    pub const VERSION: u64 = 0x004;
    /// Device type; 0 if no device is plugged in.
    pub const DEVICE: u64 = 0x008;
    /// The selected 32 device features.
    pub const DEVICE_FEATURES: u64 = 0x010;
    /// Selects 32 device features.
    pub const DEVICE_FEATURES_SELECT: u64 = 0x014;
    /// The selected 32 features that the driver accepts.
    pub const DRIVER_FEATURES: u64 = 0x020;
    /// Selects 32 driver features.
    pub const DRIVER_FEATURES_SELECT: u64 = 0x024;
    /// Selects the queue of the following registers.
    pub const QUEUE_SELECT: u64 = 0x030;
    /// Maximum number of entries of the queue.
    pub const QUEUE_SIZE_MAX: u64 = 0x034;
    /// Number of entries of the queue.
    pub const QUEUE_SIZE: u64 = 0x038;
    /// Whether the queue is in use.
    pub const QUEUE_READY: u64 = 0x044;
    /// Writing the number of a queue notifies the device of new buffers in it.
    pub const QUEUE_NOTIFY: u64 = 0x050;
    /// Interrupt causes: bit 0, the device used a buffer; bit 1, its configuration changed.
    pub const INTERRUPT_STATUS: u64 = 0x060;
    /// Writing bits of the interrupt status acknowledges them.
    pub const INTERRUPT_ACKNOWLEDGE: u64 = 0x064;
    /// Device status; writing 0 resets the device.
    pub const STATUS: u64 = 0x070;
    /// Address of the descriptor area, in two registers.
    pub const QUEUE_DESCRIPTORS: u64 = 0x080;
    /// Address of the driver area, which the driver writes, in two registers.
    pub const QUEUE_DRIVER: u64 = 0x090;
    /// Address of the device area, which the device writes, in two registers.
    pub const QUEUE_DEVICE: u64 = 0x0a0;
}

/// "virt", in little-endian order.
pub const MAGIC: u32 = 0x7472_6976;

/// The version of the register layout described here.
pub const VERSION: u32 = 2;

/// The size of the registers without the device-specific configuration, in bytes.
pub const LENGTH: u64 = 0x100;

/// The location of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// The size of the registers in bytes, at least [`LENGTH`].
    pub size: u64,
    /// Physical address of the registers, a multiple of 8.
    pub address: u64,
    /// The GSI of the interrupt.
    pub gsi: u32,
}

/// An error in the text of a [`Location`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocationError {
    /// There is no `@` after the size.
    NoAddress,
    /// There is no `:` after the address.
    NoGsi,
    /// A number is invalid: the part and the error.
    Number(Part, NumberError),
    /// The size is below [`LENGTH`].
    Small(u64),
    /// The address is not a multiple of 8, or the range ends above 2^52.
    Address(u64),
    /// The GSI exceeds 32 bits.
    Gsi(u64),
}

/// A part of a [`Location`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The number before the `@`.
    Size,
    /// The number between `@` and `:`.
    Address,
    /// The number after the `:`.
    Gsi,
    /// The number after the second `:`.
    Id,
}

impl Location {
    /// Parses `SIZE@ADDRESS:GSI` or `SIZE@ADDRESS:GSI:ID`.
    ///
    /// # Errors
    ///
    /// [`LocationError`], which names the invalid part.
    pub fn parse(text: &str) -> Result<Self, LocationError> {
        let (size, rest) = text.split_once('@').ok_or(LocationError::NoAddress)?;
        let (address, rest) = rest.split_once(':').ok_or(LocationError::NoGsi)?;
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
            return Err(LocationError::Small(size));
        }
        let end = address.checked_add(size);
        if address % 8 != 0 || end.is_none_or(|end| end > 1 << 52) {
            return Err(LocationError::Address(address));
        }
        let gsi = u32::try_from(gsi).map_err(|_| LocationError::Gsi(gsi))?;
        Ok(Self { size, address, gsi })
    }
}

/// Parses a number with an optional suffix K, M or G.
fn number(text: &str, part: Part) -> Result<u64, LocationError> {
    let error = |error| LocationError::Number(part, error);
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

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:#x}:{}", self.size, self.address, self.gsi)
    }
}

impl fmt::Display for LocationError {
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

impl core::error::Error for LocationError {}

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

    fn location(size: u64, address: u64, gsi: u32) -> Location {
        Location { size, address, gsi }
    }

    #[test]
    fn the_syntax_of_linux_is_accepted() {
        assert_eq!(
            Location::parse("512@0xfeb00e00:31"),
            Ok(location(512, 0xfeb0_0e00, 31))
        );
        assert_eq!(
            Location::parse("4K@0xd0000000:5:0"),
            Ok(location(4096, 0xd000_0000, 5))
        );
        assert_eq!(
            Location::parse("0x200@1g:0x2f"),
            Ok(location(512, 1 << 30, 47))
        );
    }

    #[test]
    fn errors_name_the_wrong_part() {
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
            let error = Location::parse(text).unwrap_err();
            assert_eq!(error.to_string(), message, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_location_or_an_error(text in "\\PC*") {
            let _ = Location::parse(&text);
        }

        #[test]
        fn a_location_parses_back_from_its_text(
            size in LENGTH..1 << 40,
            address in 0_u64..1 << 40,
            gsi in any::<u32>(),
        ) {
            let location = Location { size, address: address * 8, gsi };
            prop_assert_eq!(Location::parse(&location.to_string()), Ok(location));
        }
    }
}
