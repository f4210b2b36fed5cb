//! The policy of the interrupt core: vector allocation, preemption, removal, routing and storms.
//!
//! | module | policy |
//! |---|---|
//! | [`vectors`] | vector allocation on a CPU |
//! | [`context`] | the contexts in which an operation may be called |
//! | [`priority`] | delivery by the local APIC, and the nesting depth |
//! | [`stack`] | the size of the interrupt stack |
//! | [`table`] | installation and removal of handlers while interrupts arrive |
//! | [`queue`] | deferred work |
//! | [`mailbox`] | function calls on one other CPU |
//! | [`broadcast`] | function calls on all other CPUs |
//! | [`shootdown`] | invalidation of translations on other CPUs |
//! | [`route`] | the input and mode of a requested interrupt |
//! | [`timers`] | the timer queue of a CPU |
//! | [`turns`] | the callback state of a timer |
//! | [`heartbeat`] | lockup detection |
//! | [`arming`] | the armed state of a timer |
//! | [`raised`] | the guards that raise a CPU's priority |
//! | [`affinity`] | the steps that move a line to another CPU |
//! | [`nmi`] | the cause of an NMI |
//! | [`storm`] | storm detection and recovery |
//! | [`statistics`] | the longest section and rates |
//!
//! Several CPUs use [`table`], [`queue`], [`mailbox`], [`broadcast`], [`shootdown`] and
//! [`arming`] at once, without
//! locks. These modules take their atomics from `sync`, so that `tests/loom` can compile the same
//! files with loom's atomics and test every order in which the CPUs can run.

pub mod affinity;
pub mod arming;
pub mod broadcast;
pub mod context;
pub mod heartbeat;
pub mod mailbox;
pub mod nmi;
pub mod priority;
pub mod queue;
pub mod raised;
pub mod route;
pub mod shootdown;
pub mod stack;
pub mod statistics;
pub mod storm;
mod sync;
pub mod table;
pub mod timers;
pub mod turns;
pub mod vectors;

#[cfg(test)]
mod tests;
