//! The input of the monitor, from COM1 and the keyboard: bytes in the order of their arrival, and
//! Ctrl-C.

use arrayvec::ArrayVec;

use super::keys;
use tocsin::sync::IrqMutex;
use tocsin::{cancel, console};

/// Ctrl-C, as terminals send it.
const CTRL_C: u8 = 3;

/// The maximum number of bytes stored while a command runs. Further bytes stay in the port, where
/// they may be lost.
const BUFFER_SIZE: usize = 1024;

static TYPED: IrqMutex<ArrayVec<u8, BUFFER_SIZE>> = IrqMutex::new(ArrayVec::new_const());

/// Enables Ctrl-C to cancel commands.
pub(super) fn set_up() {
    cancel::set_input(poll);
}

/// Reads all bytes that have arrived. Ctrl-C requests cancellation and discards the bytes before
/// it.
fn poll() {
    while !TYPED.lock().is_full() {
        match console::read_byte().or_else(keys::read_byte) {
            None => return,
            Some(CTRL_C) => {
                TYPED.lock().clear();
                cancel::request();
            }
            // One CPU at a time polls, so there is still room.
            Some(byte) => drop(TYPED.lock().try_push(byte)),
        }
    }
}

/// Returns the next byte of the input.
pub(super) fn next_byte() -> Option<u8> {
    poll();
    TYPED.lock().pop_at(0)
}
