//! The command register (PCI, 6.2.2).
//!
//! It shares 32 bits with the status register, most of whose bits are cleared by writing 1. So the
//! status half is always written as 0, which has no effect.

/// The offset of command (low half) and status (high half).
pub const OFFSET: u16 = 0x04;

/// The function responds to I/O accesses.
pub const IO: u16 = 1 << 0;
/// The function responds to memory accesses.
pub const MEMORY: u16 = 1 << 1;
/// The function may write to memory; a message-signalled interrupt is such a write. In a bridge: it
/// forwards the writes of the functions behind it.
pub const BUS_MASTER: u16 = 1 << 2;
/// The function must not assert its interrupt pin. Functions older than PCI 2.3 ignore it.
pub const INTX_DISABLE: u16 = 1 << 10;

/// Status bit 3, as a bit of the 32-bit register: an interrupt is pending that the pin signals, or
/// would signal without [`INTX_DISABLE`] (PCI, 6.2.3).
pub const INTERRUPT_STATUS: u32 = 1 << 19;

/// The value to write to change the command: `set` and `clear` contain its bits; `register` is the
/// value read at [`OFFSET`].
#[must_use]
pub const fn changed(register: u32, set: u16, clear: u16) -> u32 {
    (register as u16 & !clear | set) as u32
}
