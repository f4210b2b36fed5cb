//! Masking of interrupts by priority class.
//!
//! `cli` delays every interrupt, even the most urgent. CR8, the task priority, delays only the
//! classes up to its value (SDM vol. 3A, 12.8.6). Code that raises CR8 to the class of the handlers
//! that it must exclude can still be interrupted by all higher classes.

pub mod ceiling;
pub mod latency;

pub use ceiling::{CeilingGuard, CeilingMutex};

use core::marker::PhantomData;

use tocsin_logic::irq::context::Level;
use tocsin_logic::irq::raised::{GUARDS, Index, Stack};
use tocsin_logic::vector::PriorityClass;

use crate::cpu::{self, context};
use crate::hw::control;
use crate::sync;

/// A raised priority: interrupts of a class and of all lower classes are masked on this CPU until
/// the guard is dropped.
///
/// Guards may be dropped in any order: CR8 is the highest class of the remaining guards. Not
/// `Send`: a guard belongs to the CPU that created it. A leaked guard keeps the priority raised
/// forever.
#[derive(Debug)]
#[must_use = "the priority falls back when this is dropped"]
pub struct Raised {
    index: Index,
    /// Time at which the guard began to mask more classes, in TSC cycles, if IRQs-off sections are
    /// measured; else 0.
    since: u64,
    not_send: PhantomData<*mut ()>,
}

crate::cpu_local! {
    /// The guards that raise a CPU's priority.
    static RAISED: Stack = Stack::new();
}

/// Raises this CPU's priority to `class`, unless it is higher already.
///
/// Interrupts of the classes up to `class` that arrive meanwhile stay pending in the local APIC and
/// are delivered when the guard is dropped.
///
/// Context: any but NMI.
///
/// # Panics
///
/// In an NMI handler, and if the CPU already has [`GUARDS`] guards, for example because guards were
/// leaked.
#[inline]
pub fn raise(class: PriorityClass) -> Raised {
    let own = cpu::current();
    if context::in_nmi(own) {
        reject_in_nmi();
    }
    let previous = control::priority_class();
    let Some(index) = RAISED.of(own).push(class, previous) else {
        reject();
    };
    let mut since = 0;
    if class > previous {
        control::set_priority_class(class);
        since = sync::now_if_measured();
    }
    Raised {
        index,
        since,
        not_send: PhantomData,
    }
}

/// An NMI may have interrupted a change of the guards.
#[cold]
#[inline(never)]
fn reject_in_nmi() {
    context::require("priority::raise", Level::InterruptsOff);
}

#[cold]
#[inline(never)]
fn reject() -> ! {
    panic!(
        "priority: CPU {}: {GUARDS} guards of raised priorities are held (each must be dropped; one that is \
         leaked keeps the priority raised)",
        cpu::current().id()
    )
}

impl Drop for Raised {
    #[inline]
    fn drop(&mut self) {
        let now = control::priority_class();
        if self.since != 0 {
            latency::record_raised(now, self.since);
        }
        let class = RAISED.here().remove(self.index);
        if class != now {
            control::set_priority_class(class);
        }
    }
}

/// The current priority class of this CPU: that of CR8 or of the interrupt in service, whichever is
/// higher. 0 in a thread that masks nothing.
///
/// Context: any.
#[must_use]
pub fn current() -> PriorityClass {
    context::current().class()
}
