//! Message delivery ("FSB delivery") of an HPET comparator to a line.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use tocsin_logic::devices::hpet::{route, timer_route};

use super::registers::Core;
use crate::line::{MessageTarget, Messages};

/// The message of one comparator.
#[derive(Debug)]
pub(super) struct ComparatorMessage(pub(super) Arc<Core>);

impl Messages for ComparatorMessage {
    fn can_mask(&self) -> bool {
        // A match while the comparator's interrupt is disabled is lost, though QEMU delivers it
        // later, even if it was already delivered.
        false
    }

    fn set(&mut self, target: &MessageTarget) -> Result<(), String> {
        if target.count() != 1 {
            return Err("an HPET's comparator has one message".to_string());
        }
        // One write changes address and data, so the device sends either the old message or the new
        // one.
        self.0.write(timer_route, route(target.first()));
        Ok(())
    }

    fn set_masked(&mut self, masked: bool) {
        self.0.set_masked(masked);
    }

    fn is_pending(&self) -> bool {
        false
    }

    fn flush(&self) {
        // A read completion from the device is ordered after its earlier writes.
        let _: u64 = self.0.read(timer_route);
    }
}

impl Drop for ComparatorMessage {
    fn drop(&mut self) {
        self.0.disable_interrupts();
        self.flush();
    }
}

impl fmt::Display for ComparatorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message of HPET comparator {}", self.0.number())
    }
}
