//! The queue's use of the local APIC timer: the next deadline, and lending it.

use super::Queue;
use crate::timer::lapic;

impl Queue {
    /// Programs the next deadline, if it has changed. On the owner, at the timers' class, after one
    /// of its timers has been created.
    pub(super) fn program(&self) {
        if !self.suspended.get() && self.update_first() {
            self.reprogram();
        }
    }

    /// Programs the next deadline. On the owner, at the timers' class, after one of its timers has
    /// been created.
    pub(super) fn reprogram(&self) {
        if !self.prepared.replace(true) {
            lapic::prepare();
        }
        self.update_first();
        match self.due.get() {
            u64::MAX => lapic::clear_deadline(),
            due => lapic::set_deadline(due),
        }
    }

    /// Records the first timer. Returns whether the deadline has changed. On the owner, at the
    /// timers' class, after one of its timers has been created.
    pub(super) fn update_first(&self) -> bool {
        // SAFETY: On the owner, at the timers' class.
        let first = unsafe { self.storage.timers() }.first_due(u64::MAX);
        let due = first.map_or(u64::MAX, |first| {
            self.first.set(first.item);
            first.deadline
        });
        self.due.replace(due) != due
    }

    /// Takes the hardware from the timers; returns false if it is borrowed already. On the owner,
    /// at the timers' class.
    pub(in crate::timer) fn borrow(&self) -> bool {
        if self.borrowed.replace(true) {
            return false;
        }
        self.suspended.set(true);
        // From now on every interrupt of the timer counts as early.
        self.due.set(u64::MAX);
        lapic::stop();
        true
    }

    /// Returns the hardware to the timers. On the owner, at the timers' class.
    pub(in crate::timer) fn take_back(&self) {
        lapic::stop();
        self.borrowed.set(false);
        self.suspended.set(false);
        self.prepared.set(false);
        if self.storage.registry().is_some() {
            self.program();
        }
    }
}
