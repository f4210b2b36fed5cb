//! A level-triggered line that nobody answers: the kernel must mask it, try it again after pauses that
//! grow, and have it back when it is answered.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use tocsin_logic::units::Nanoseconds;
use tocsin_logic::vector::PriorityClass;

use crate::drivers::edu::{Answered, Edu, Way};
use tocsin::machine;
use tocsin::{cancel, time};

/// Storms that are waited for before the device is answered: the first, and two trials.
const STORMS: u32 = 3;

/// How long anything may take, in nanoseconds: longer than a trial.
pub(super) const PATIENCE: u64 = 10_000_000_000;

/// How long a masked line is watched, in nanoseconds: less than the first pause.
pub(super) const WATCH: u64 = 20_000_000;

/// Interrupts that are raised before and after.
const ORDINARY: u32 = 10;

/// What the device raises: bit 0 is its computation's.
const VALUE: u32 = 2;

/// Priority class of the line.
pub(super) const CLASS: u8 = 5;

/// Something that was waited for and came.
#[derive(Debug)]
pub struct Step {
    /// When, in nanoseconds since the device went unanswered.
    pub time: u64,
    /// What.
    pub what: String,
}

/// Goes through it all with an `edu` device, its line on CPU number `cpu`. In a thread.
///
/// # Errors
///
/// A sentence that says what did not come, or why the device cannot be had.
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

/// Interrupts that come one by one and are answered.
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

/// While the line is masked, nothing comes. Returns how long that was seen; 0, if the pause was over
/// before this CPU got to look, as on a host that is busy with other things.
fn stays_silent(answered: &Answered) -> Result<u64, String> {
    let before = answered.line().describe();
    time::spin_for(WATCH);
    let after = answered.line().describe();
    // A trial would have ended in another storm.
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
