//! PCI function addresses, and the value of the address port for a register.

use super::CONFIG_SIZE;
use arrayvec::ArrayString;
use core::fmt::{self, Write};
use core::str::FromStr;

/// The address of a function: segment group, bus, device and function.
///
/// Displayed and parsed as `0000:00:1f.2`, all but the function in hexadecimal; the segment can be
/// omitted when it is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    segment: u16,
    bus: u8,
    device: u8,
    function: u8,
}

/// Number of devices on a bus.
pub const DEVICES: u8 = 32;
/// Number of functions of a device.
pub const FUNCTIONS: u8 = 8;

/// Bit 31 of the address port: accesses to the data port go to configuration space.
const ENABLE: u32 = 1 << 31;

impl Address {
    /// The function with these numbers, or `None` for a device above 31 or a function above 7.
    #[must_use]
    pub const fn new(segment: u16, bus: u8, device: u8, function: u8) -> Option<Self> {
        if device >= DEVICES || function >= FUNCTIONS {
            return None;
        }
        Some(Self {
            segment,
            bus,
            device,
            function,
        })
    }

    /// The segment group.
    #[must_use]
    pub const fn segment(self) -> u16 {
        self.segment
    }

    /// The bus, 0 to 255.
    #[must_use]
    pub const fn bus(self) -> u8 {
        self.bus
    }

    /// The device, 0 to 31.
    #[must_use]
    pub const fn device(self) -> u8 {
        self.device
    }

    /// The function, 0 to 7.
    #[must_use]
    pub const fn function(self) -> u8 {
        self.function
    }

    /// The requester ID: the ID in the function's requests, by which remapping tables identify it
    /// (Express, 2.2.4.2).
    #[must_use]
    pub const fn requester_id(self) -> u16 {
        (self.bus as u16) << 8 | (self.device as u16) << 3 | self.function as u16
    }

    /// The value for the address port (0xcf8) that selects the 32-bit register at `offset` (PCI,
    /// 3.2.2.3.2).
    ///
    /// # Errors
    ///
    /// [`AddressError::Segment`], because the ports reach segment 0 only; [`AddressError::Offset`]
    /// above 0xfc or if not a multiple of 4.
    pub const fn port_value(self, offset: u16) -> Result<u32, AddressError> {
        if self.segment != 0 {
            return Err(AddressError::Segment(self.segment));
        }
        if offset >= CONFIG_SIZE || !offset.is_multiple_of(4) {
            return Err(AddressError::Offset(offset));
        }
        Ok(ENABLE | (self.requester_id() as u32) << 8 | offset as u32)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = ArrayString::<12>::new();
        let Self {
            segment,
            bus,
            device,
            function,
        } = self;
        write!(text, "{segment:04x}:{bus:02x}:{device:02x}.{function}")?;
        f.pad(&text)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let number = |digits: &str, longest: usize| {
            let plain = digits.len() <= longest && digits.bytes().all(|it| it.is_ascii_hexdigit());
            let value = u16::from_str_radix(digits, 16).ok();
            value.filter(|_| plain).ok_or(AddressError::Form)
        };
        let byte = |digits| number(digits, 2).map(|value| value as u8);
        let (buses, location) = text.rsplit_once(':').ok_or(AddressError::Form)?;
        let (segment, bus) = match buses.split_once(':') {
            Some((segment, bus)) => (number(segment, 4)?, bus),
            None => (0, buses),
        };
        let (device, function) = location.split_once('.').ok_or(AddressError::Form)?;
        Self::new(segment, byte(bus)?, byte(device)?, byte(function)?).ok_or(AddressError::Range)
    }
}

/// The reason why an address or a register offset is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Not of the form `0000:00:1f.2`.
    Form,
    /// A device above 31 or a function above 7.
    Range,
    /// The ports reach only segment 0.
    Segment(u16),
    /// No 32-bit register of the first 256 bytes begins here.
    Offset(u16),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str("not an address such as 0000:00:1f.2 or 00:1f.2"),
            Self::Range => f.write_str("devices go from 0 to 1f, functions from 0 to 7"),
            Self::Segment(segment) => {
                write!(
                    f,
                    "segment {segment} cannot be reached by ports, only segment 0"
                )
            }
            Self::Offset(offset) => {
                write!(
                    f,
                    "ports reach registers at multiples of 4 below 0x100, not {offset:#x}"
                )
            }
        }
    }
}

impl core::error::Error for AddressError {}
