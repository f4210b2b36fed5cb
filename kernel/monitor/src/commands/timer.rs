//! `timer`: the clocks, and the local APIC timer in each of its modes, without the timer queue.

use alloc::string::ToString;

use tocsin_logic::units::Nanoseconds;

use crate::command::{Arguments, CommandError};
use tocsin::timer::lapic::{self, CountError};
use tocsin::timer::{self, Borrowed};
use tocsin::{Machine, println, time};

/// The one-shot interval and the period, in nanoseconds.
const ONCE: u64 = 2_000_000;
const PERIOD: u64 = 1_000_000;

/// The number of periodic interrupts to wait for.
const PERIODS: u64 = 10;

/// The timeout after which an interrupt counts as missing, in nanoseconds.
const PATIENCE: u64 = 2_000_000_000;

pub(super) fn timer(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    arguments.end()?;
    let frequency = time::frequency();
    println!("TSC: {} Hz, {}", frequency.hertz, frequency.source);
    let Some(info) = lapic::info() else {
        println!("The local APIC's timer has not been measured.");
        return Ok(());
    };
    match info.hertz {
        Some(hertz) => println!(
            "Local APIC timer: {hertz} Hz, measured against the {}",
            info.reference.clock
        ),
        None => println!("Local APIC timer: its rate could not be measured"),
    }
    println!(
        "TSC-deadline mode: {}",
        if info.has_deadline { "yes" } else { "no" }
    );
    let timer = timer::borrow().map_err(|lent| CommandError::Failed(lent.to_string()))?;
    show(&timer, "one-shot", ONCE, 1, |timer| timer.start_once(ONCE));
    show(&timer, "periodic", PERIOD, PERIODS, |timer| {
        timer.start_periodic(PERIOD)
    });
    if info.has_deadline {
        show(&timer, "deadline", ONCE, 1, |timer| {
            timer.start_deadline(ONCE)
        });
    }
    Ok(())
}

/// Starts the timer, waits for `count` interrupts at intervals of `interval` nanoseconds, and
/// prints the elapsed time.
fn show(
    timer: &Borrowed,
    mode: &str,
    interval: u64,
    count: u64,
    start: impl FnOnce(&Borrowed) -> Result<(), CountError>,
) {
    // The count is read before the start, because a virtual CPU may be descheduled for longer than
    // the interval immediately after it.
    let first = timer.ticks();
    let seen = || timer.ticks() - first;
    let begin = time::nanoseconds();
    if let Err(error) = start(timer) {
        println!("  {mode}: {error}");
        return;
    }
    time::wait_until(PATIENCE, || seen() >= count);
    let taken = Nanoseconds(time::nanoseconds() - begin);
    timer.stop();
    let wanted = Nanoseconds(interval * count);
    println!(
        "  {mode}: {} of {count} interrupts in {taken}, {wanted} wanted",
        seen().min(count)
    );
}
