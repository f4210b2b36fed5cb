//! The PCI Express capability (Express, 7.5.3), as far as interrupts need it: the port type, and
//! the slot behind the port, whose events the port signals by an interrupt (6.7.3.4).
//!
//! ```text
//!        31              16 15     0
//!   +0   flags              next, id
//!   +14  slot capabilities
//!   +18  slot status        slot control
//! ```

use super::Address;

/// Size in bytes up to and including the slot registers.
const SIZE: u16 = 0x1c;

/// A PCI Express capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpressCapability {
    offset: u16,
    flags: u16,
}

/// Slot control bit 4: signal the completion of a command. Every write to the slot control is a
/// command.
pub const COMMAND_COMPLETED_ENABLE: u16 = 1 << 4;
/// Slot control bit 5: signal slot events by an interrupt.
pub const INTERRUPT_ENABLE: u16 = 1 << 5;
/// Slot status bit 4: a command has completed. Cleared by writing 1.
pub const COMMAND_COMPLETED: u16 = 1 << 4;

impl ExpressCapability {
    /// Decodes the capability at `offset`, with its first register `first`. `None` if it extends
    /// beyond configuration space.
    #[must_use]
    pub const fn decode(offset: u8, first: u32) -> Option<Self> {
        if offset as u16 + SIZE > super::CONFIG_SIZE {
            return None;
        }
        Some(Self {
            offset: offset as u16,
            flags: (first >> 16) as u16,
        })
    }

    /// Whether this is a root port or a switch's downstream port with a slot, and signals the
    /// completion of commands: bit 18 of the slot capabilities, given here, is set if it does not.
    #[must_use]
    pub const fn supports_command_completion(self, slot_capabilities: u32) -> bool {
        let is_downstream = matches!(self.flags >> 4 & 0xf, 4 | 6);
        let has_slot = self.flags & 1 << 8 != 0;
        is_downstream && has_slot && slot_capabilities & 1 << 18 == 0
    }

    /// The message number of slot events: bits 13:9 of the flags. It changes with the number of
    /// enabled messages (Express, 7.5.3.2), so a driver must read it after enabling them.
    #[must_use]
    pub const fn message_number(self) -> u8 {
        (self.flags >> 9 & 0x1f) as u8
    }

    /// The offset of the slot capabilities: a 32-bit register.
    #[must_use]
    pub const fn slot_capabilities(self) -> u16 {
        self.offset + 0x14
    }

    /// The offset of the slot control: 16 bits.
    #[must_use]
    pub const fn slot_control(self) -> u16 {
        self.offset + 0x18
    }

    /// The offset of the slot status: 16 bits, accessed separately from the control, because every
    /// write to that is a command.
    #[must_use]
    pub const fn slot_status(self) -> u16 {
        self.offset + 0x1a
    }
}

/// The port type of the capability whose first register this is; `None` without a capability.
#[must_use]
pub fn port_type(first: Option<u32>) -> Option<u8> {
    first.map(|first| (first >> 20 & 0xf) as u8)
}

/// The source ID beyond a bridge of a request that has `source` behind it. A bridge from PCI
/// Express to PCI (port type 7) replaces it by device 0 of its secondary bus, a conventional bridge
/// by its own; the ports of switches and root ports keep it (VT-d specification 4.1, 3.4.1).
#[must_use]
pub const fn source_behind(
    port_type: Option<u8>,
    bridge: Address,
    secondary: u8,
    source: u16,
) -> u16 {
    match port_type {
        Some(7) => (secondary as u16) << 8,
        None | Some(8) => bridge.requester_id(),
        Some(_) => source,
    }
}
