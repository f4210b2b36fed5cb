//! What can be wrong with a timer, in words.

use core::fmt;

use crate::timer::{CAPACITY, SHORTEST_PERIOD};

/// Why a timer was not made or started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerError {
    /// No CPU of this number is online.
    Offline(u32),
    /// The CPU has as many timers as it can.
    Full(u32),
    /// The machine's timers cannot be used: they could not be measured.
    NotMeasured,
    /// The period, in nanoseconds, is too short.
    Period(u64),
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(cpu) => write!(f, "CPU {cpu} is not online; `cpus` lists those that are"),
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

/// Somebody else has this CPU's timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lent;

impl fmt::Display for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this CPU's timer is borrowed already; it comes back when that command ends")
    }
}

impl core::error::Error for Lent {}
