//! The MSI capability (PCI, 6.8.1): one address and one data value, for up to 32 messages that
//! differ in the low bits of the data.
//!
//! ```text
//!        31       16 15  8 7   0
//!   +0   control     next  id
//!   +4   message address, bits 31:2
//!   +8   message address, bits 63:32                     only with 64 bits
//!   +C   0           message data                        at +8 with 32 bits
//!   +10  mask bits                                       only with masks; at +C with 32 bits
//!   +14  pending bits                                    likewise; at +10
//! ```

use super::capability::{Capability, CapabilityError};
use crate::apic::msi::Message;
use arrayvec::ArrayVec;
use core::fmt;

/// Control bit 0, as a bit of the 32-bit register.
const ENABLE: u32 = 1 << 16;
/// Control bits 6:4: number of messages that the function may send, as a power of two.
const ENABLED_MESSAGES: u32 = 7 << 20;

/// The MSI capability of a function: its register offsets and features.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsiCapability {
    offset: u16,
    messages_log2: u8,
    is_64_bit: bool,
    has_masks: bool,
}

/// The reason why messages cannot be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MsiError {
    /// More messages than the function supports.
    TooMany {
        /// The requested number.
        wanted: u8,
        /// The supported number.
        max: u8,
    },
    /// A number of messages that is not a power of two.
    NotPowerOfTwo(u8),
    /// The data has more than 16 bits.
    Data(u32),
    /// The function would overwrite low bits of the data that are not 0: a block of messages must
    /// begin at a multiple of its size.
    Unaligned {
        /// The data.
        data: u32,
        /// The number of messages.
        messages: u8,
    },
}

impl fmt::Display for MsiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooMany { wanted, max } => {
                write!(
                    f,
                    "{wanted} messages requested, but the function can send {max}"
                )
            }
            Self::NotPowerOfTwo(count) => {
                write!(f, "{count} messages: the number must be a power of two")
            }
            Self::Data(data) => write!(f, "message data {data:#x} do not fit 16 bits"),
            Self::Unaligned { data, messages } => write!(
                f,
                "message data {data:#x} are no multiple of the {messages} messages"
            ),
        }
    }
}

impl core::error::Error for MsiError {}

impl MsiCapability {
    /// Decodes the capability at `offset`. `first` is its first register.
    ///
    /// # Errors
    ///
    /// [`CapabilityError::Messages`], [`CapabilityError::Truncated`].
    pub const fn decode(offset: u8, first: u32) -> Result<Self, CapabilityError> {
        let messages_log2 = (first >> 17) as u8 & 7;
        if messages_log2 > 5 {
            return Err(CapabilityError::Messages(messages_log2));
        }
        let found = Self {
            offset: offset as u16,
            messages_log2,
            is_64_bit: first & 1 << 23 != 0,
            has_masks: first & 1 << 24 != 0,
        };
        let size = found.size();
        if offset as u16 + size as u16 > super::CONFIG_SIZE {
            let id = super::capability::MSI;
            let capability = Capability { id, offset };
            return Err(CapabilityError::Truncated { capability, size });
        }
        Ok(found)
    }

    /// Size in bytes, in whole registers.
    const fn size(self) -> u8 {
        let wide = if self.is_64_bit { 4 } else { 0 };
        let masks = if self.has_masks { 8 } else { 0 };
        0x0c + wide + masks
    }

    /// Number of messages that the function supports: 1, 2, 4, 8, 16 or 32.
    #[must_use]
    pub const fn messages(self) -> u8 {
        1 << self.messages_log2
    }

    /// Whether the capability has a 64-bit address.
    #[must_use]
    pub const fn is_64_bit(self) -> bool {
        self.is_64_bit
    }

    /// The offset of the register of control, next and ID.
    #[must_use]
    pub const fn control(self) -> u16 {
        self.offset
    }

    /// The offset of the low half of the address.
    #[must_use]
    pub const fn address(self) -> u16 {
        self.offset + 4
    }

    /// The offset of the data.
    #[must_use]
    pub const fn data(self) -> u16 {
        self.offset + if self.is_64_bit { 0x0c } else { 8 }
    }

    /// The offset of the mask bits, if messages can be masked individually.
    #[must_use]
    pub const fn masks(self) -> Option<u16> {
        if self.has_masks {
            Some(self.data() + 4)
        } else {
            None
        }
    }

    /// The offset of the pending bits, present if the mask bits are.
    #[must_use]
    pub const fn pending(self) -> Option<u16> {
        if self.has_masks {
            Some(self.data() + 8)
        } else {
            None
        }
    }

    /// The value of the control register, given its current value, that enables `count` messages,
    /// at least one.
    ///
    /// # Errors
    ///
    /// [`MsiError::TooMany`], [`MsiError::NotPowerOfTwo`], also for 0.
    pub const fn enabled(self, register: u32, count: u8) -> Result<u32, MsiError> {
        if let Err(error) = self.check(count) {
            return Err(error);
        }
        let field = count.trailing_zeros() << 20;
        Ok(register & !ENABLED_MESSAGES | field | ENABLE)
    }

    /// The value of the control register that disables messages.
    #[must_use]
    pub const fn disabled(register: u32) -> u32 {
        register & !ENABLE
    }

    /// Whether messages are enabled in the control register.
    #[must_use]
    pub const fn is_enabled(register: u32) -> bool {
        register & ENABLE != 0
    }

    /// Checks that the function can send `count` messages.
    const fn check(self, count: u8) -> Result<(), MsiError> {
        if !count.is_power_of_two() {
            return Err(MsiError::NotPowerOfTwo(count));
        }
        if count > self.messages() {
            let (wanted, max) = (count, self.messages());
            return Err(MsiError::TooMany { wanted, max });
        }
        Ok(())
    }

    /// The registers and values that set `message` as the first of `count`, in the required order
    /// of writes. Message n has the same address and `data + n`.
    ///
    /// The change is not atomic: messages must be masked or disabled meanwhile.
    ///
    /// # Errors
    ///
    /// [`MsiError`].
    pub fn writes(self, message: Message, count: u8) -> Result<ArrayVec<(u16, u32), 3>, MsiError> {
        self.check(count)?;
        let Message { address, data } = message;
        if data > 0xffff {
            return Err(MsiError::Data(data));
        }
        if data & (u32::from(count) - 1) != 0 {
            let messages = count;
            return Err(MsiError::Unaligned { data, messages });
        }
        let mut writes = ArrayVec::new();
        writes.push((self.address(), address));
        if self.is_64_bit {
            writes.push((self.offset + 8, 0));
        }
        writes.push((self.data(), data));
        Ok(writes)
    }
}
