//! Holding interrupts back by class, not altogether.
//!
//! `cli` delays every interrupt, the most urgent too. CR8, the task priority, delays the classes
//! up to its value and no others (SDM vol. 3A, 12.8.6): code that raises it to the class of
//! the devices it must keep out stays interruptible for everything above.

use core::marker::PhantomData;

use tocsin_logic::vector::PriorityClass;

use crate::cpu::{context, stretch};
use crate::hw::control;
use crate::sync;

/// Keeps this CPU's interrupts of a class and all lower ones back until it is dropped.
///
/// Guards must be dropped in the opposite order of their making, as scopes do; a debug build
/// checks it. Not `Send`: it belongs to the CPU that made it.
#[derive(Debug)]
#[must_use = "the priority falls back when this is dropped"]
pub struct Raised {
    previous: PriorityClass,
    now: PriorityClass,
    /// When more classes began to be held back, in TSC cycles, if that is watched; else 0.
    since: u64,
    not_send: PhantomData<*mut ()>,
}

/// Raises this CPU's priority to `class`, unless it is higher already. Thread or handler.
///
/// Interrupts of the classes up to `class` that arrive meanwhile wait in the local APIC and are
/// delivered when the guard is dropped.
pub fn raise(class: PriorityClass) -> Raised {
    let previous = control::priority_class();
    let now = class.max(previous);
    control::set_priority_class(now);
    let since = if now > previous {
        sync::now_if_watched()
    } else {
        0
    };
    Raised {
        previous,
        now,
        since,
        not_send: PhantomData,
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        debug_assert_eq!(
            control::priority_class(),
            self.now,
            "priorities must be lowered in the opposite order of raising"
        );
        if self.since != 0 {
            stretch::note_raised(self.now, self.since);
        }
        control::set_priority_class(self.previous);
    }
}

/// The class that this CPU runs at: of CR8 or of the interrupt in service, whichever is higher. 0 in
/// a thread that masks nothing.
///
/// Context: any.
#[must_use]
pub fn current() -> PriorityClass {
    context::current().class()
}
