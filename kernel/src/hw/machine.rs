//! Ending and restarting the machine.

use tocsin_logic::exit;

use super::port;
use super::processor::halt_forever;

/// Ends QEMU with `status` through its `isa-debug-exit` device; `tocsin_logic::exit`
/// has the encoding. On a machine without that device the processor halts.
///
/// Context: any.
pub fn power_off(status: u8) -> ! {
    // SAFETY: 1. Port 0xf4 is QEMU's debug-exit device by this project's convention, and
    // unassigned on PCs, where the write goes nowhere.
    unsafe { port::write::<u32>(DEBUG_EXIT, exit::to_port(status)) };
    halt_forever()
}

/// Restarts the machine: the reset control register of the chipset first (port 0xcf9,
/// on every PCI chipset since PIIX3), then the keyboard controller's reset line.
///
/// Context: any.
pub fn reset() -> ! {
    // SAFETY: 1. Resetting is what the caller asked for. 2. Bit 1 selects a full reset and
    // must be stable before bit 2 goes from 0 to 1 (PIIX3 and ICH data sheets, RST_CNT).
    unsafe { port::write::<u8>(RESET_CONTROL, 0x02) };
    // SAFETY: as above, numbers 1 and 2.
    unsafe { port::write::<u8>(RESET_CONTROL, 0x06) };
    // SAFETY: 1. as above; command 0xfe pulses the processor's reset line.
    unsafe { port::write::<u8>(KEYBOARD_COMMAND, 0xfe) };
    halt_forever()
}

/// QEMU's `isa-debug-exit` device.
pub(crate) const DEBUG_EXIT: u16 = 0xf4;
const RESET_CONTROL: u16 = 0xcf9;
const KEYBOARD_COMMAND: u16 = 0x64;
