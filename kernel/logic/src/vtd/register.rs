//! The registers of a unit: offsets, and the bits that the kernel uses (11.4).

use crate::apic::ApicId;
use crate::vector::Vector;

/// Version, 32 bits.
pub const VERSION: u64 = 0x00;
/// Capabilities, 64 bits.
pub const CAPABILITY: u64 = 0x08;
/// Extended capabilities, 64 bits.
pub const EXTENDED: u64 = 0x10;
/// Global command, 32 bits: see [`global`].
pub const GLOBAL_COMMAND: u64 = 0x18;
/// Global status, 32 bits: see [`global`].
pub const GLOBAL_STATUS: u64 = 0x1c;
/// Address of the root table, 64 bits.
pub const ROOT_TABLE: u64 = 0x20;
/// Fault status, 32 bits: see [`fault_status`].
pub const FAULT_STATUS: u64 = 0x34;
/// Fault event control, 32 bits: see [`EVENT_MASKED`].
pub const FAULT_CONTROL: u64 = 0x38;
/// Data of the fault event's message, 32 bits.
pub const FAULT_DATA: u64 = 0x3c;
/// Low half of the address of the fault event's message, 32 bits.
pub const FAULT_ADDRESS: u64 = 0x40;
/// High half of the address of the fault event's message, 32 bits. With 32-bit APIC IDs it has bits
/// 31:8 of the ID (5.1.6).
pub const FAULT_UPPER_ADDRESS: u64 = 0x44;
/// Protected memory, 32 bits.
pub const PROTECTED_MEMORY: u64 = 0x64;
/// Tail of the invalidation queue, 64 bits.
pub const QUEUE_TAIL: u64 = 0x88;
/// Address and size of the invalidation queue, 64 bits.
pub const QUEUE_ADDRESS: u64 = 0x90;
/// Address and size of the interrupt-remapping table, 64 bits.
pub const INTERRUPT_TABLE: u64 = 0xb8;

/// The bits of the global command and status registers. A bit of the status register shows the
/// state that the bit of the command register with the same number requests.
pub mod global {
    /// TE: DMA remapping.
    pub const TRANSLATION: u32 = 1 << 31;
    /// SRTP: use the address of the root table.
    pub const ROOT_TABLE: u32 = 1 << 30;
    /// WBF: flush the write buffer.
    pub const WRITE_BUFFER: u32 = 1 << 27;
    /// QIE: queued invalidation.
    pub const QUEUE: u32 = 1 << 26;
    /// IRE: interrupt remapping.
    pub const INTERRUPTS: u32 = 1 << 25;
    /// SIRTP: use the address of the interrupt-remapping table.
    pub const INTERRUPT_TABLE: u32 = 1 << 24;

    /// The bits that request an action once. They must be 0 in a command that requests another.
    const ONCE: u32 = ROOT_TABLE | 1 << 29 | WRITE_BUFFER | INTERRUPT_TABLE;

    /// The value of the command register that sets or clears one bit in this status. A command
    /// changes one bit only (11.4.4.1).
    #[must_use]
    pub const fn command(status: u32, bit: u32, on: bool) -> u32 {
        let kept = status & !ONCE;
        if on { kept | bit } else { kept & !bit }
    }
}

/// The bits of the fault status register (11.4.9).
pub mod fault_status {
    /// PFO: a fault was not recorded, because the next record was in use. Cleared by writing 1.
    pub const OVERFLOW: u32 = 1 << 0;
    /// PPF: a fault record is in use. Read-only.
    pub const PENDING: u32 = 1 << 1;
    /// IQE: the invalidation queue has an invalid command, and has stopped. Cleared by writing 1.
    pub const QUEUE: u32 = 1 << 4;
    /// ICE: a device sent an invalid completion. Cleared by writing 1.
    pub const COMPLETION: u32 = 1 << 5;
    /// ITE: a device did not complete an invalidation in time. Cleared by writing 1.
    pub const TIMEOUT: u32 = 1 << 6;
    /// The errors of the invalidation queue.
    pub const QUEUE_ERRORS: u32 = QUEUE | COMPLETION | TIMEOUT;

    /// FRI: the index of the first fault record in use, if one is.
    #[must_use]
    pub const fn first_record(status: u32) -> u16 {
        (status >> 8) as u16 & 0xff
    }
}

/// IM: the event sends no message (11.4.10).
pub const EVENT_MASKED: u32 = 1 << 31;

/// Data, address and upper address of an event's message: fixed delivery of a vector to a CPU
/// (5.1.6). The upper address has bits 31:8 of the APIC ID, which are 0 in xAPIC mode.
#[must_use]
pub const fn event_message(vector: Vector, cpu: ApicId) -> [u32; 3] {
    let id = cpu.get();
    [
        vector.get() as u32,
        0xfee0_0000 | (id & 0xff) << 12,
        id & !0xff,
    ]
}

/// The value of [`QUEUE_ADDRESS`] for a queue of `256 << size` commands of 128 bits.
#[must_use]
pub const fn queue_address(address: u64, size: u8) -> u64 {
    address | size as u64 & 7
}

/// The value of [`INTERRUPT_TABLE`] for a table of `2 << size` entries.
#[must_use]
pub const fn interrupt_table(address: u64, size: u8, extended: bool) -> u64 {
    address | (extended as u64) << 11 | size as u64 & 0xf
}
