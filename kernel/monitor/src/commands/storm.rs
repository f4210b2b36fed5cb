//! `storm`: interrupts of all kinds at once, counted on both ends.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Ordering;
use core::fmt;

use serde::Serialize;

use super::checks::Checks;
use crate::command::{Arguments, CommandError};
use crate::record::Output;
use crate::stress::unclaimed::Step;
use crate::stress::{self, Kind, Outcome, Sums};
use tocsin::Machine;
use tocsin::hw::processor::timestamp;

/// The default duration, in seconds.
const SECONDS: u64 = 10;

/// The maximum duration, in seconds: one day.
const MOST_SECONDS: u64 = 86_400;

pub(super) fn storm(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    if arguments.take("unclaimed") {
        let cpu = arguments.number(u64::from(u32::MAX))?;
        arguments.end()?;
        // The cast is lossless: `number` limits the value to 32 bits.
        let cpu = cpu.map_or(0, |cpu| cpu as u32);
        return show_steps(stress::unclaimed::run(cpu), output);
    }
    if arguments.take("latched") {
        arguments.end()?;
        return show_steps(stress::latched::run(), output);
    }
    let seconds = arguments.number(MOST_SECONDS)?.unwrap_or(SECONDS);
    let seed = arguments.number(u64::MAX)?;
    arguments.end()?;
    let seed = seed.unwrap_or_else(|| timestamp() & 0xffff_ffff);
    output.print("storm_start", &Start { seconds, seed });
    let outcome = stress::run(seconds, seed).map_err(CommandError::Failed)?;
    show(&outcome, output);
    let checks = Checks::default();
    for (_, sums) in &outcome.account {
        checks.note(sums.is_balanced());
    }
    checks.note(outcome.actions.0 > 0);
    checks.note(outcome.errors.is_empty());
    checks.finish(output)
}

/// The parameters of a run.
#[derive(Serialize)]
struct Start {
    seconds: u64,
    seed: u64,
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, seed } = self;
        write!(
            f,
            "{seconds} s, seed {seed:#x}; `storm {seconds} {seed:#x}` repeats this run"
        )
    }
}

/// The interrupts of one kind.
#[derive(Serialize)]
struct Interrupts {
    interrupt: Kind,
    #[serde(flatten)]
    sums: Sums,
}

impl fmt::Display for Interrupts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sums { sent, received } = self.sums;
        let verdict = match sent.cmp(&received) {
            Ordering::Greater => "  LOST",
            Ordering::Less => "  DUPLICATED",
            Ordering::Equal => "",
        };
        write!(
            f,
            "  {:<24}  {sent:>9}    {received:>9}{verdict}",
            self.interrupt
        )
    }
}

/// The results besides the interrupts.
#[derive(Serialize)]
struct Summary<'a> {
    passed: bool,
    /// The number of moves of lines, and of those that failed because the line was already moving.
    line_moves: u64,
    line_moves_busy: u64,
    /// The minimum and maximum number of actions of a CPU.
    min_actions: u64,
    max_actions: u64,
    max_depth: u32,
    errors: &'a [String],
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed: _,
            line_moves,
            line_moves_busy,
            min_actions,
            max_actions,
            max_depth,
            errors,
        } = self;
        write!(
            f,
            "  lines moved: {line_moves}; busy: {line_moves_busy}\n  \
             actions of each CPU: {min_actions} to {max_actions}; maximum nesting depth {max_depth}"
        )?;
        errors
            .iter()
            .try_for_each(|error| write!(f, "\n  error: {error}"))
    }
}

fn show(outcome: &Outcome, output: Output) {
    output.heading("  interrupt                      sent     received");
    for &(interrupt, sums) in &outcome.account {
        output.print("storm_interrupts", &Interrupts { interrupt, sums });
    }
    let summary = Summary {
        passed: outcome.is_right(),
        line_moves: outcome.moves.0,
        line_moves_busy: outcome.moves.1,
        min_actions: outcome.actions.0,
        max_actions: outcome.actions.1,
        max_depth: outcome.depth,
        errors: &outcome.errors,
    };
    output.print("storm", &summary);
}

/// Prints the steps of the test of a line.
fn show_steps(steps: Result<Vec<Step>, String>, output: Output) -> Result<(), CommandError> {
    let checks = Checks::default();
    for step in steps.map_err(CommandError::Failed)? {
        output.print("storm_step", &step);
        checks.note(true);
    }
    checks.finish(output)
}
