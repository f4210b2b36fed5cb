//! A test of a level-triggered line whose handler claims no interrupt: the kernel must mask the
//! line, put it on probation after pauses of increasing length, and unmask it when the interrupts
//! are handled again.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tocsin_logic::units::Nanoseconds;
use tocsin_logic::vector::PriorityClass;

use crate::drivers::edu::{Answered, Edu, Way};
use tocsin::machine;
use tocsin::{cancel, time};

/// The number of storms before the handler claims the interrupt: the first, and two probations.
const STORMS: u32 = 3;

/// The timeout of each step, in nanoseconds. It is longer than a probation.
pub(super) const PATIENCE: u64 = 10_000_000_000;

/// The time for which a masked line is observed, in nanoseconds. It is shorter than the first
/// pause.
pub(super) const WATCH: u64 = 20_000_000;

/// The number of interrupts raised before and after the storms.
const ORDINARY: u32 = 10;

/// The value that the device raises: bit 0 is that of its computation.
const VALUE: u32 = 2;

/// The priority class of the line.
pub(super) const CLASS: u8 = 5;

/// A step that has succeeded.
#[derive(Debug)]
pub struct Step {
    /// The time in nanoseconds since the start of the test.
    pub time: u64,
    /// What happened.
    pub what: String,
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
    let answered = edu
        .answer(Way::Pin, class, cpu, topology)
        .map_err(|error| format!("{error}"))?;
    let begin = time::nanoseconds();
    let mut steps = Vec::new();
    let mut step = |what| {
        let time = time::nanoseconds() - begin;
        steps.push(Step { time, what });
    };
    ordinary(&answered)?;
    step(format!("{ORDINARY} interrupts answered"));
    answered.ignore(true);
    answered.assert(VALUE);
    for storm in 1..=STORMS {
        wait_for("the line is masked", || {
            let line = answered.line().describe();
            line.storms >= storm && line.is_masked
        })?;
        let line = answered.line().describe();
        step(format!(
            "masked, storm {storm}; {} unclaimed so far",
            line.counts.unclaimed
        ));
        let silent = stays_silent(&answered)?;
        if silent > 0 {
            step(format!("nothing came in {}", Nanoseconds(silent)));
        }
    }
    let before = answered.answered();
    answered.ignore(false);
    wait_for("the line is tried again", || answered.answered() > before)?;
    step("tried again, and answered".into());
    wait_for("the line is open", || !answered.line().describe().is_masked)?;
    ordinary(&answered)?;
    step(format!("{ORDINARY} interrupts answered"));
    Ok(steps)
}

/// Raises interrupts one by one, each of which must be handled.
fn ordinary(answered: &Answered) -> Result<(), String> {
    let tally = answered.raise(ORDINARY);
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
fn stays_silent(answered: &Answered) -> Result<u64, String> {
    let before = answered.line().describe();
    time::spin_for(WATCH);
    let after = answered.line().describe();
    // A probation would have ended in another storm.
    if !before.is_masked || !after.is_masked || before.storms != after.storms {
        return Ok(0);
    }
    if after.counts == before.counts {
        return Ok(WATCH);
    }
    Err("the line is masked, but interrupts came".into())
}

pub(super) fn wait_for(what: &str, condition: impl Fn() -> bool) -> Result<(), String> {
    let is_over = || cancel::is_requested() || condition();
    (time::wait_until(PATIENCE, is_over) && !cancel::was_requested())
        .then_some(())
        .ok_or_else(|| format!("{what}: not within {}", Nanoseconds(PATIENCE)))
}
