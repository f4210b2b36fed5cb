//! Power-off and reset of the machine.

use tocsin_logic::exit;

use crate::hw::port;
use crate::hw::processor::halt_forever;

/// Exits QEMU with `status` through its `isa-debug-exit` device; see `tocsin_logic::exit` for the
/// encoding. On a machine without that device the CPU halts.
///
/// Context: any.
pub fn power_off(status: u8) -> ! {
    // SAFETY: Port 0xf4 is QEMU's debug-exit device by this project's convention, and unassigned on
    // PCs, where the write has no effect.
    unsafe { port::write::<u32>(DEBUG_EXIT, exit::to_port(status)) };
    halt_forever()
}

/// Resets the machine: first through the reset control register of the chipset (port 0xcf9, on
/// every PCI chipset since PIIX3), then through the keyboard controller's reset line.
///
/// Context: any.
pub fn reset() -> ! {
    // SAFETY: The caller requested a reset. Bit 1 selects a full reset and must be stable before
    // bit 2 changes from 0 to 1 (PIIX3 and ICH data sheets, RST_CNT).
    unsafe { port::write::<u8>(RESET_CONTROL, 0x02) };
    // SAFETY: As above.
    unsafe { port::write::<u8>(RESET_CONTROL, 0x06) };
    // SAFETY: The caller requested a reset; command 0xfe pulses the CPU's reset line.
    unsafe { port::write::<u8>(KEYBOARD_COMMAND, 0xfe) };
    halt_forever()
}

/// QEMU's `isa-debug-exit` device.
pub(crate) const DEBUG_EXIT: u16 = 0xf4;
const RESET_CONTROL: u16 = 0xcf9;
const KEYBOARD_COMMAND: u16 = 0x64;
