//! The interrupt core's decisions: which vector, who preempts whom, who may be
//! removed when, where a line goes, and when it has gone mad.
//!
//! | module | decides |
//! |---|---|
//! | [`vectors`] | which vector of a CPU a line gets |
//! | [`context`] | what may be called where |
//! | [`priority`] | what the local APIC delivers, and how deep it nests |
//! | [`stack`] | how much stack that takes |
//! | [`table`] | how a handler is installed and removed while interrupts arrive |
//! | [`queue`] | how work is put off to a lower priority |
//! | [`mailbox`] | how one CPU has another call a function |
//! | [`board`] | how one CPU has all others call a function |
//! | [`route`] | where the interrupt of a request arrives, and how |
//! | [`timers`] | which timer of a CPU is due, and which comes next |
//! | [`turns`] | whether the function of a timer runs, and who frees it |
//! | [`heart`] | which CPUs have stopped answering |
//! | [`arming`] | the armed state of a timer |
//! | [`raised`] | the guards that raise a CPU's priority |
//! | [`affinity`] | in which steps a line moves to another CPU |
//! | [`nmi`] | why an NMI came |
//! | [`storm`] | when a line is masked, and when it is tried again |
//! | [`statistics`] | how the longest stretch and rates are kept |
//!
//! [`table`], [`queue`], [`mailbox`], [`board`] and [`arming`] are used by several CPUs at once, without
//! locks. They take their atomics from `sync`, so that `tests/loom` can compile
//! the same files with loom's and try every order in which the CPUs can run.

pub mod affinity;
pub mod arming;
pub mod board;
pub mod context;
pub mod heart;
pub mod mailbox;
pub mod nmi;
pub mod priority;
pub mod queue;
pub mod raised;
pub mod route;
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
