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
                "CPU {cpu} has {CAPACITY} timers, which is all it can; `timers` lists them"
            ),
            Self::NotMeasured => f.write_str(
                "the local APIC's timer could not be measured and takes no deadlines; `timer` tells more",
            ),
            Self::Period(period) => write!(
                f,
                "a period of {period} ns is too short; the shortest is {SHORTEST_PERIOD} ns"
            ),
        }
    }
}

impl core::error::Error for TimerError {}

/// The error that this CPU's timer is borrowed already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent;

impl fmt::Display for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this CPU's timer is borrowed already; it comes back when that command ends")
    }
}

impl core::error::Error for Lent {}
