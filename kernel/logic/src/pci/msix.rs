//! The MSI-X capability and its table (PCI, 6.8.2): up to 2048 messages, each with an address,
//! a datum and a mask of its own, in the function's memory.
//!
//! ```text
//!        31       16 15  8 7   0          an entry of the table
//!   +0   control     next  id             +0  message address, bits 31:2
//!   +4   table: offset          | BIR     +4  message address, bits 63:32
//!   +8   pending bits: offset   | BIR     +8  message data
//!                                         +C  vector control: bit 0 is the mask
//! ```

use core::ops::Range;

use super::capability::{Capability, CapabilityError, MSI_X};
use crate::apic::msi::Message;

/// Control bit 15, as a bit of the whole register.
const ENABLE: u32 = 1 << 31;
/// Control bit 14: all messages are masked, whatever their own masks say.
const FUNCTION_MASK: u32 = 1 << 30;

/// Bytes of an entry of the table.
pub const ENTRY_SIZE: u32 = 16;
/// Bytes of the capability.
const SIZE: u8 = 12;

/// A place in the function's own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The base address register, 0 to 5.
    pub bar: u8,
    /// Bytes from its address; a multiple of 8.
    pub offset: u32,
}

impl Place {
    const fn decode(register: u32) -> Result<Self, CapabilityError> {
        let bar = register as u8 & 7;
        if bar > 5 {
            return Err(CapabilityError::Register(bar));
        }
        Ok(Self {
            bar,
            offset: register & !7,
        })
    }
}

/// A function's MSI-X capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MsixCapability {
    offset: u16,
    messages: u16,
    /// Where its table is.
    pub table: Place,
    /// Where its pending bits are: 64 of them in each 64-bit word.
    pub pending: Place,
}

impl MsixCapability {
    /// Reads the capability at `offset`. `registers` are its three.
    ///
    /// # Errors
    ///
    /// [`CapabilityError::Register`], [`CapabilityError::Truncated`].
    pub const fn decode(offset: u8, registers: [u32; 3]) -> Result<Self, CapabilityError> {
        if offset as u16 + SIZE as u16 > super::CONFIG_SIZE {
            let capability = Capability { id: MSI_X, offset };
            let size = SIZE;
            return Err(CapabilityError::Truncated { capability, size });
        }
        let [control, table, pending] = registers;
        let table = match Place::decode(table) {
            Ok(place) => place,
            Err(error) => return Err(error),
        };
        let pending = match Place::decode(pending) {
            Ok(place) => place,
            Err(error) => return Err(error),
        };
        Ok(Self {
            offset: offset as u16,
            // The field holds the number less one.
            messages: ((control >> 16) as u16 & 0x7ff) + 1,
            table,
            pending,
        })
    }

    /// How many messages the function can send: 1 to 2048.
    #[must_use]
    pub const fn messages(self) -> u16 {
        self.messages
    }

    /// The register of control, next and ID.
    #[must_use]
    pub const fn control(self) -> u16 {
        self.offset
    }

    /// Bytes of the table.
    #[must_use]
    pub const fn table_size(self) -> u32 {
        self.messages as u32 * ENTRY_SIZE
    }

    /// Bytes of the pending bits.
    #[must_use]
    pub const fn pending_size(self) -> u32 {
        (self.messages as u32).div_ceil(64) * 8
    }

    /// The part of a range of a BAR's memory that holds the table or the pending bits. A write to
    /// it sets a message, or is undefined (PCI, 6.8.2 and 6.8.2.10).
    #[must_use]
    pub fn reserved_in(self, bar: u8, range: &Range<u64>) -> Option<Range<u64>> {
        let places = [
            (self.table, self.table_size()),
            (self.pending, self.pending_size()),
        ];
        places.into_iter().find_map(|(place, size)| {
            let start = u64::from(place.offset).max(range.start);
            let end = (u64::from(place.offset) + u64::from(size)).min(range.end);
            (place.bar == bar && start < end).then_some(start..end)
        })
    }

    /// Whether a place with this many bytes lies within a range of `available` bytes.
    #[must_use]
    pub const fn fits(place: Place, size: u32, available: u64) -> bool {
        place.offset as u64 + size as u64 <= available
    }

    /// What to write to the control register, given what it holds, to have messages sent or
    /// not, and all of them masked or not.
    #[must_use]
    pub const fn with(register: u32, enabled: bool, masked: bool) -> u32 {
        let enable = if enabled { ENABLE } else { 0 };
        let mask = if masked { FUNCTION_MASK } else { 0 };
        register & !(ENABLE | FUNCTION_MASK) | enable | mask
    }

    /// Whether the control register says that messages are sent.
    #[must_use]
    pub const fn is_enabled(register: u32) -> bool {
        register & ENABLE != 0
    }

    /// Whether the control register says that all messages are masked.
    #[must_use]
    pub const fn is_masked(register: u32) -> bool {
        register & FUNCTION_MASK != 0
    }
}

/// Bytes from an entry's begin to its vector control.
pub const VECTOR_CONTROL: u32 = 12;

/// What to write to an entry's vector control, given what it holds, to mask the message or not.
/// The other bits are the function's (PCI Express uses some for steering tags) and stay.
#[must_use]
pub const fn with_mask(vector_control: u32, masked: bool) -> u32 {
    vector_control & !1 | masked as u32
}

/// Whether an entry's vector control says that the message is masked.
#[must_use]
pub const fn is_masked(vector_control: u32) -> bool {
    vector_control & 1 != 0
}

/// The writes that give an entry a new message, each with its distance from the entry's begin,
/// in their order: masked, then written, then as it was. An entry must not change while it is
/// not masked, because the function may have kept a copy of it (PCI, 6.8.2.9 and 6.8.3.5).
/// `vector_control` is what the entry holds.
#[must_use]
pub const fn entry_writes(message: Message, vector_control: u32) -> [(u32, u32); 5] {
    [
        (VECTOR_CONTROL, with_mask(vector_control, true)),
        (0, message.address),
        (4, 0),
        (8, message.data),
        (VECTOR_CONTROL, vector_control),
    ]
}
