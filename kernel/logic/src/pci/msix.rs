//! The MSI-X capability and its table (PCI, 6.8.2): up to 2048 messages, each with its own address,
//! data and mask, in the function's memory.
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

/// Control bit 15, as a bit of the 32-bit register.
const ENABLE: u32 = 1 << 31;
/// Control bit 14: all messages are masked, regardless of their own mask bits.
const FUNCTION_MASK: u32 = 1 << 30;

/// Size in bytes of a table entry.
pub const ENTRY_SIZE: u32 = 16;
/// Size in bytes of the capability.
const SIZE: u8 = 12;

/// A location in the function's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The base address register, 0 to 5.
    pub bar: u8,
    /// Offset in bytes from its address; a multiple of 8.
    pub offset: u32,
}

impl Location {
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
    /// The location of the table.
    pub table: Location,
    /// The location of the pending bits: 64 in each 64-bit word.
    pub pending: Location,
}

impl MsixCapability {
    /// Decodes the capability at `offset`. `registers` are its three registers.
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
        let table = match Location::decode(table) {
            Ok(location) => location,
            Err(error) => return Err(error),
        };
        let pending = match Location::decode(pending) {
            Ok(location) => location,
            Err(error) => return Err(error),
        };
        Ok(Self {
            offset: offset as u16,
            // The field holds the number minus one.
            messages: ((control >> 16) as u16 & 0x7ff) + 1,
            table,
            pending,
        })
    }

    /// Number of messages that the function supports: 1 to 2048.
    #[must_use]
    pub const fn messages(self) -> u16 {
        self.messages
    }

    /// The offset of the register of control, next and ID.
    #[must_use]
    pub const fn control(self) -> u16 {
        self.offset
    }

    /// Size in bytes of the table.
    #[must_use]
    pub const fn table_size(self) -> u32 {
        self.messages as u32 * ENTRY_SIZE
    }

    /// Size in bytes of the pending bits.
    #[must_use]
    pub const fn pending_size(self) -> u32 {
        (self.messages as u32).div_ceil(64) * 8
    }

    /// The part of a range of a BAR's memory that contains the table or the pending bits. A write
    /// to it sets a message, or is undefined (PCI, 6.8.2 and 6.8.2.10).
    #[must_use]
    pub fn reserved_in(self, bar: u8, range: &Range<u64>) -> Option<Range<u64>> {
        let locations = [
            (self.table, self.table_size()),
            (self.pending, self.pending_size()),
        ];
        locations.into_iter().find_map(|(location, size)| {
            let start = u64::from(location.offset).max(range.start);
            let end = (u64::from(location.offset) + u64::from(size)).min(range.end);
            (location.bar == bar && start < end).then_some(start..end)
        })
    }

    /// Whether `size` bytes at a location lie within a range of `available` bytes.
    #[must_use]
    pub const fn fits(location: Location, size: u32, available: u64) -> bool {
        location.offset as u64 + size as u64 <= available
    }

    /// The value of the control register, given its current value, that enables or disables
    /// messages, and masks all of them or not.
    #[must_use]
    pub const fn with(register: u32, enabled: bool, masked: bool) -> u32 {
        let enable = if enabled { ENABLE } else { 0 };
        let mask = if masked { FUNCTION_MASK } else { 0 };
        register & !(ENABLE | FUNCTION_MASK) | enable | mask
    }

    /// Whether messages are enabled in the control register.
    #[must_use]
    pub const fn is_enabled(register: u32) -> bool {
        register & ENABLE != 0
    }

    /// Whether all messages are masked in the control register.
    #[must_use]
    pub const fn is_masked(register: u32) -> bool {
        register & FUNCTION_MASK != 0
    }
}

/// Offset in bytes of the vector control in an entry.
pub const VECTOR_CONTROL: u32 = 12;

/// The value of an entry's vector control, given its current value, that masks the message or not.
/// The other bits belong to the function (PCI Express uses some for steering tags) and are
/// preserved.
#[must_use]
pub const fn with_mask(vector_control: u32, masked: bool) -> u32 {
    vector_control & !1 | masked as u32
}

/// Whether the message is masked in an entry's vector control.
#[must_use]
pub const fn is_masked(vector_control: u32) -> bool {
    vector_control & 1 != 0
}

/// The writes that set a new message in an entry, each with its offset in the entry, in the
/// required order: mask, write, restore the mask bit. An entry must not change while it is
/// unmasked, because the function may have cached it (PCI, 6.8.2.9 and 6.8.3.5). `vector_control`
/// is the current value.
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
