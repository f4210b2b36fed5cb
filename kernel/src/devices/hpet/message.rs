//! A comparator's messages ("FSB delivery"), as a line takes them.

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
        // A match while the comparator's interrupt is disabled is not remembered, though QEMU makes up
        // for it, and for one that was delivered before.
        false
    }

    fn set(&mut self, target: &MessageTarget) -> Result<(), String> {
        if target.count() != 1 {
            return Err("an HPET's comparator has one message".to_string());
        }
        // Address and data at once: it sends either the old message or the new one.
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
        // A read from the device arrives after what it wrote before.
        let _: u64 = self.0.read(timer_route);
    }
}

impl Drop for ComparatorMessage {
    fn drop(&mut self) {
        self.0.silence();
        self.flush();
    }
}

impl fmt::Display for ComparatorMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "message of HPET comparator {}", self.0.number())
    }
}
