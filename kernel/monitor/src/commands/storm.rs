//! `storm`: interrupts of all kinds at once, counted on both ends.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use tocsin_logic::units::Nanoseconds;

use crate::command::{Arguments, CommandError};
use crate::stress::unclaimed::Step;
use crate::stress::{self, Outcome, Sums};
use tocsin::hw::processor::timestamp;
use tocsin::{Machine, println};

/// The default duration, in seconds.
const SECONDS: u64 = 10;

/// The maximum duration, in seconds: one day.
const MOST_SECONDS: u64 = 86_400;

pub(super) fn storm(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    if arguments.take("unclaimed") {
        let cpu = arguments.number(u64::from(u32::MAX))?;
        arguments.end()?;
        // The cast is lossless: `number` limits the value to 32 bits.
        let cpu = cpu.map_or(0, |cpu| cpu as u32);
        return tell(stress::unclaimed::run(cpu));
    }
    if arguments.take("latched") {
        arguments.end()?;
        return tell(stress::latched::run());
    }
    let seconds = arguments.number(MOST_SECONDS)?.unwrap_or(SECONDS);
    let seed = arguments.number(u64::MAX)?;
    arguments.end()?;
    let seed = seed.unwrap_or_else(|| timestamp() & 0xffff_ffff);
    println!(
        "{seconds} s, seed {seed:#x}; `storm {seconds} {seed:#x}` makes the same choices again"
    );
    let outcome = stress::run(seconds, seed).map_err(CommandError::Failed)?;
    show(&outcome);
    if outcome.is_right() {
        println!("nothing lost, nothing doubled");
        Ok(())
    } else {
        Err(CommandError::Failed(
            "interrupts were lost or doubled, or something else went wrong".into(),
        ))
    }
}

fn show(outcome: &Outcome) {
    println!("  what                           sent     received");
    for (kind, Sums { sent, received }) in &outcome.account {
        let verdict = match sent.cmp(received) {
            core::cmp::Ordering::Greater => "  LOST",
            core::cmp::Ordering::Less => "  DOUBLED",
            core::cmp::Ordering::Equal => "",
        };
        println!("  {kind:<24}  {sent:>9}    {received:>9}{verdict}");
    }
    let (moved, moving) = outcome.moves;
    println!("  lines moved {moved} times; {moving} times one was moving already");
    let (least, most) = outcome.actions;
    println!(
        "  each CPU did {least} to {most} things; deepest nesting {}",
        outcome.depth
    );
    for error in &outcome.errors {
        println!("  error: {error}");
    }
}

/// Prints the steps of the test of a line.
fn tell(steps: Result<Vec<Step>, String>) -> Result<(), CommandError> {
    for step in steps.map_err(CommandError::Failed)? {
        println!(
            "  {:>10}  {}",
            format!("{}", Nanoseconds(step.time)),
            step.what
        );
    }
    println!("masked, tried again and restored");
    Ok(())
}
