//! What is typed, on COM1 and on the keyboard: bytes in the order of their arrival, and Ctrl-C.

use arrayvec::ArrayVec;

use super::keys;
use crate::sync::IrqMutex;
use crate::{cancel, console};

/// Ctrl-C, as terminals send it.
const CTRL_C: u8 = 3;

/// Bytes that are kept while a command runs. Further ones stay in the port, and wait or are lost there.
const KEPT: usize = 1024;

static TYPED: IrqMutex<ArrayVec<u8, KEPT>> = IrqMutex::new(ArrayVec::new_const());

/// Lets Ctrl-C cancel commands.
pub(super) fn set_up() {
    cancel::set_input(poll);
}

/// Takes all that has arrived. Ctrl-C requests cancellation and drops what was typed before it.
fn poll() {
    while !TYPED.lock().is_full() {
        match console::read_byte().or_else(keys::read_byte) {
            None => return,
            Some(CTRL_C) => {
                TYPED.lock().clear();
                cancel::request();
            }
            // One CPU at a time polls, so there is room still.
            Some(byte) => drop(TYPED.lock().try_push(byte)),
        }
    }
}

/// The next byte that was typed.
pub(super) fn next_byte() -> Option<u8> {
    poll();
    TYPED.lock().pop_at(0)
}
