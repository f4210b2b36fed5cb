//! The PCI Express capability (Express, 7.5.3), as far as interrupts go: what kind of port this is,
//! and the slot behind it, whose events a port tells by an interrupt (6.7.3.4).
//!
//! ```text
//!        31              16 15     0
//!   +0   flags              next, id
//!   +14  slot capabilities
//!   +18  slot status        slot control
//! ```

/// Bytes up to and with the slot's registers.
const SIZE: u16 = 0x1c;

/// A PCI Express capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpressCapability {
    offset: u16,
    flags: u16,
}

/// Slot control bit 4: tell when a command is completed. A command is every write to the slot
/// control.
pub const COMMAND_COMPLETED_ENABLE: u16 = 1 << 4;
/// Slot control bit 5: tell the slot's events by an interrupt.
pub const INTERRUPT_ENABLE: u16 = 1 << 5;
/// Slot status bit 4: a command is completed. Cleared by writing 1.
pub const COMMAND_COMPLETED: u16 = 1 << 4;

impl ExpressCapability {
    /// The capability at `offset`, of which `first` is the first register. `None` if it reaches
    /// out of configuration space.
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

    /// Whether this is a root port or a switch's downstream port with a slot, which can complete
    /// commands: bit 18 of the slot capabilities, given here, says that it cannot.
    #[must_use]
    pub const fn tells_commands(self, slot_capabilities: u32) -> bool {
        let is_downstream = matches!(self.flags >> 4 & 0xf, 4 | 6);
        let has_slot = self.flags & 1 << 8 != 0;
        is_downstream && has_slot && slot_capabilities & 1 << 18 == 0
    }

    /// Which message tells the slot's events: bits 13:9 of the flags. It changes with the number of
    /// messages that are on (Express, 7.5.3.2), so a driver reads it when they are.
    #[must_use]
    pub const fn message_number(self) -> u8 {
        (self.flags >> 9 & 0x1f) as u8
    }

    /// Where the slot capabilities lie: a register of 32 bits.
    #[must_use]
    pub const fn slot_capabilities(self) -> u16 {
        self.offset + 0x14
    }

    /// Where the slot control lies: 16 bits.
    #[must_use]
    pub const fn slot_control(self) -> u16 {
        self.offset + 0x18
    }

    /// Where the slot status lies: 16 bits, apart from the control, because every write to that is
    /// a command.
    #[must_use]
    pub const fn slot_status(self) -> u16 {
        self.offset + 0x1a
    }
}
