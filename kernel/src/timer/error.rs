//! Errors of timers.

use core::fmt;

use crate::ipi::Offline;
use crate::timer::{CAPACITY, SHORTEST_PERIOD};

/// The reason why a timer was not created or started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerError {
    /// The CPU is not online.
    Offline(Offline),
    /// The CPU has the maximum number of timers.
    Full(u32),
    /// The timers of this machine cannot be used, because their rate could not be measured.
    NotMeasured,
    /// The period, in nanoseconds, is too short.
    Period(u64),
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(offline) => offline.fmt(f),
            Self::Full(cpu) => write!(
                f,
                "CPU {cpu} has the maximum of {CAPACITY} timers (`timers` lists them)"
            ),
            Self::NotMeasured => f.write_str(
                "the local APIC's timer has neither a measured rate nor TSC deadlines (see `timer`)",
            ),
            Self::Period(period) => write!(
                f,
                "a period of {period} ns is too short (the minimum is {SHORTEST_PERIOD} ns)"
            ),
        }
    }
}

impl core::error::Error for TimerError {}

/// The error that this CPU's timer is borrowed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlreadyBorrowed;

impl fmt::Display for AlreadyBorrowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this CPU's timer is already borrowed (until the other command ends)")
    }
}

impl core::error::Error for AlreadyBorrowed {}
