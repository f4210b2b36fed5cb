//! The command register (PCI, 6.2.2).
//!
//! It shares its 32 bits with the status register, most of whose bits are cleared by writing
//! 1. So the status half is always written as 0, which changes nothing there.

/// Where command (low half) and status (high half) lie.
pub const OFFSET: u16 = 0x04;

/// The function answers at its I/O ports.
pub const IO: u16 = 1 << 0;
/// The function answers at its memory addresses.
pub const MEMORY: u16 = 1 << 1;
/// The function may write to memory by itself; a message-signalled interrupt is such a write.
/// In a bridge: it passes on what those behind it write.
pub const BUS_MASTER: u16 = 1 << 2;
/// The function must not assert its interrupt pin. Functions older than PCI 2.3 ignore it.
pub const INTX_DISABLE: u16 = 1 << 10;

/// Status bit 3, as a bit of the whole register: the function has an interrupt pending that
/// its pin shows, or would show but for [`INTX_DISABLE`] (PCI, 6.2.3).
pub const INTERRUPT_STATUS: u32 = 1 << 19;

/// What to write to change the command: `set` and `clear` name its bits; `register` is what
/// was read at [`OFFSET`].
#[must_use]
pub const fn changed(register: u32, set: u16, clear: u16) -> u32 {
    (register as u16 & !clear | set) as u32
}
