//! A test of a level-triggered line whose handler claims no interrupt: the kernel must mask the
//! line, put it on probation after pauses of increasing length, and unmask it when the interrupts
//! are handled again.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use serde::Serialize;
use tocsin_logic::units::Nanoseconds;
use tocsin_logic::vector::PriorityClass;

use crate::drivers::edu::{Edu, HandledEdu, Way};
use tocsin::machine;
use tocsin::{cancel, time};

/// The number of storms before the handler claims the interrupt: the first, and two probations.
const STORMS: u32 = 3;

/// The timeout of each step, in nanoseconds. It is longer than a probation.
pub(super) const TIMEOUT: u64 = 10_000_000_000;

/// The time for which a masked line is observed, in nanoseconds. It is shorter than the first
/// pause.
pub(super) const OBSERVATION_TIME: u64 = 20_000_000;

/// The number of interrupts raised before and after the storms.
const ORDINARY: u32 = 10;

/// The value that the device raises: bit 0 is that of its computation.
const VALUE: u32 = 2;

/// The priority class of the line.
pub(super) const CLASS: u8 = 5;

/// A step that has succeeded.
#[derive(Debug, Serialize)]
pub struct Step {
    /// The time in nanoseconds since the start of the test.
    pub time_ns: u64,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// An event of the test of a line.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Interrupts were sent one by one and handled.
    Handled {
        /// Their number.
        count: u32,
    },
    /// The kernel masked the line.
    Masked {
        /// The number of storms so far.
        storm: u32,
        /// The number of unclaimed interrupts so far.
        unclaimed: u64,
    },
    /// No interrupt arrived while the line was masked.
    Silent {
        /// The time in nanoseconds for which this was observed.
        duration_ns: u64,
    },
    /// The kernel unmasked the line, and the pending interrupt was handled.
    Retried,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = format!("{}", Nanoseconds(self.time_ns));
        write!(f, "  {time:>10}  ")?;
        match self.event {
            Event::Handled { count } => write!(f, "{count} interrupts sent and handled"),
            Event::Masked { storm, unclaimed } => {
                write!(f, "masked, storm {storm}; {unclaimed} unclaimed so far")
            }
            Event::Silent { duration_ns } => {
                write!(f, "no interrupt in {}", Nanoseconds(duration_ns))
            }
            Event::Retried => f.write_str("unmasked, and the pending interrupt handled"),
        }
    }
}

/// Runs the test with an `edu` device, whose line is on CPU number `cpu`. The caller runs in a
/// thread.
///
/// Context: thread.
///
/// # Errors
///
/// A sentence that says what did not arrive, or why the device is unavailable.
pub fn run(cpu: u32) -> Result<Vec<Step>, String> {
    let topology = &machine().ok_or("the machine is not known")?.topology;
    let class = PriorityClass::new(CLASS).ok_or("there is no such class")?;
    let edu = Arc::new(Edu::claim().map_err(|error| format!("{error}"))?);
    let edu = edu
        .with_handler(Way::Pin, class, cpu, topology)
        .map_err(|error| format!("{error}"))?;
    let begin = time::nanoseconds();
    let mut steps = Vec::new();
    let mut step = |event| {
        let time_ns = time::nanoseconds() - begin;
        steps.push(Step { time_ns, event });
    };
    ordinary(&edu)?;
    step(Event::Handled { count: ORDINARY });
    edu.ignore(true);
    edu.assert(VALUE);
    for storm in 1..=STORMS {
        wait_for("the line is masked", || {
            let line = edu.line().describe();
            line.storms >= storm && line.is_masked
        })?;
        let line = edu.line().describe();
        step(Event::Masked {
            storm,
            unclaimed: line.counts.unclaimed,
        });
        let duration_ns = stays_silent(&edu)?;
        if duration_ns > 0 {
            step(Event::Silent { duration_ns });
        }
    }
    let before = edu.handled();
    edu.ignore(false);
    wait_for("the line is tried again", || edu.handled() > before)?;
    step(Event::Retried);
    wait_for("the line is open", || !edu.line().describe().is_masked)?;
    ordinary(&edu)?;
    step(Event::Handled { count: ORDINARY });
    Ok(steps)
}

/// Raises interrupts one by one, each of which must be handled.
fn ordinary(edu: &HandledEdu) -> Result<(), String> {
    let tally = edu.raise(ORDINARY);
    if tally.sent == tally.received {
        return Ok(());
    }
    Err(format!(
        "{} interrupts were sent, but {} received",
        tally.sent, tally.received
    ))
}

/// Checks that no interrupt arrives while the line is masked. Returns the time for which this was
/// observed, in nanoseconds, or 0 if the pause was over before this CPU could observe it, for
/// example on a busy host.
fn stays_silent(edu: &HandledEdu) -> Result<u64, String> {
    let before = edu.line().describe();
    time::spin_for(OBSERVATION_TIME);
    let after = edu.line().describe();
    // A probation would have ended in another storm.
    if !before.is_masked || !after.is_masked || before.storms != after.storms {
        return Ok(0);
    }
    if after.counts == before.counts {
        return Ok(OBSERVATION_TIME);
    }
    Err("interrupts were delivered although the line was masked".into())
}

pub(super) fn wait_for(what: &str, condition: impl Fn() -> bool) -> Result<(), String> {
    let is_over = || cancel::is_requested() || condition();
    (time::wait_until(TIMEOUT, is_over) && !cancel::was_requested())
        .then_some(())
        .ok_or_else(|| format!("{what}: not within {}", Nanoseconds(TIMEOUT)))
}
