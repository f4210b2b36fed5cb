//! Interrupts by priority: who may interrupt whom, and who holds whom back.
//!
//! The priority of an interrupt is the local APIC's own: the class of its vector (vector / 16).
//! Handlers run with interrupts enabled, so one of a higher class preempts one of a lower, and
//! one of the same or a lower class waits (SDM vol. 3A, 12.8.3). CR8 raises the bar for code
//! that is no handler: see [`priority`].

pub mod call;
pub mod ceiling;
pub mod deferred;
pub mod ipi;
pub mod line;
pub mod machine_checks;
pub mod nmi;
pub mod priority;
pub mod reschedule;
pub mod timers;
pub mod tlb;
pub mod vectors;
pub(crate) mod wait;
pub mod watchdog;

pub use ceiling::{CeilingGuard, CeilingMutex};
pub use line::{
    Claim, Line, LineError, Member, MessageTarget, Messages, Request, SharedLine, Source,
};
pub use priority::{Raised, raise};
pub use timers::Timer;

/// Registers the vectors that calls and deferred work use, and how CPUs are stopped. Once, before other CPUs run.
pub(crate) fn set_up() {
    call::set_up();
    deferred::set_up();
    tlb::set_up();
    nmi::set_up();
}
