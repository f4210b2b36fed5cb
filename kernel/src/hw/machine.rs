//! Ending and restarting the machine.

use tocsin_logic::exit;
use x86_64::instructions::port::Port;

use super::processor::halt_forever;

/// Ends QEMU with `status` through its `isa-debug-exit` device; `tocsin_logic::exit`
/// has the encoding. On a machine without that device the processor halts.
pub fn power_off(status: u8) -> ! {
    let mut debug_exit = Port::<u32>::new(DEBUG_EXIT);
    // SAFETY: 1. Port 0xf4 is QEMU's debug-exit device by this project's convention, and
    // unassigned on PCs, where the write goes nowhere.
    unsafe { debug_exit.write(exit::to_port(status)) };
    halt_forever()
}

/// Restarts the machine: the reset control register of the chipset first (port 0xcf9,
/// on every PCI chipset since PIIX3), then the keyboard controller's reset line.
pub fn reset() -> ! {
    let mut control = Port::<u8>::new(RESET_CONTROL);
    let mut keyboard = Port::<u8>::new(KEYBOARD_COMMAND);
    // SAFETY: 1. Resetting is what the caller asked for. 2. Bit 1 selects a full reset and
    // must be stable before bit 2 goes from 0 to 1 (PIIX3 and ICH data sheets, RST_CNT).
    unsafe { control.write(0x02) };
    // SAFETY: as above, numbers 1 and 2.
    unsafe { control.write(0x06) };
    // SAFETY: 1. as above; command 0xfe pulses the processor's reset line.
    unsafe { keyboard.write(0xfe) };
    halt_forever()
}

const DEBUG_EXIT: u16 = 0xf4;
const RESET_CONTROL: u16 = 0xcf9;
const KEYBOARD_COMMAND: u16 = 0x64;
