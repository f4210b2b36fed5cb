//! `timers`: the timers of all CPUs, and their test.

mod cases;
mod test;

use alloc::string::ToString;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin::cpu::handlers::INTERRUPTS;
use tocsin_logic::script;
use tocsin_logic::units::Nanoseconds;
use x86_64::instructions::interrupts;

use crate::command::{Arguments, CommandError};
use tocsin::apic::vectors;
use tocsin::hw::processor;
use tocsin::timer::{self, Mode, Row, Timer, TimerError};
use tocsin::{Machine, cancel, println, time};

/// The maximum wait, in milliseconds: one day.
const LONGEST: u64 = 86_400_000;

const WAIT_USAGE: &str = "timers wait <milliseconds>";

pub(super) fn timers(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    match arguments.next_word() {
        None => {
            list();
            Ok(())
        }
        Some("test") => {
            let seed = arguments.next_word().map(|word| {
                script::parse_number(word).map_err(|_| CommandError::BadArgument {
                    given: word.to_string(),
                    expected: "a number to draw the deadlines from".into(),
                })
            });
            let seed = seed.transpose()?.unwrap_or_else(processor::timestamp);
            arguments.end()?;
            test::run(seed)
        }
        Some("wait") => {
            let milliseconds = arguments.number(LONGEST)?;
            let milliseconds = milliseconds.ok_or(CommandError::MissingArgument(WAIT_USAGE))?;
            arguments.end()?;
            wait(milliseconds * 1_000_000).map_err(|error| CommandError::Failed(error.to_string()))
        }
        Some(word) => Err(CommandError::BadArgument {
            given: word.to_string(),
            expected: "nothing, `test` or `wait`".into(),
        }),
    }
}

/// The time at which the timer of [`wait`] fired, in TSC cycles; 0 before that.
static FIRED: AtomicU64 = AtomicU64::new(0);

/// Halts until a timer of this CPU has fired, `time` nanoseconds from now.
fn wait(time: u64) -> Result<(), TimerError> {
    let table = INTERRUPTS.here();
    let mut timer = Timer::new("wait", Mode::Interrupt, |_| {
        FIRED.store(processor::timestamp(), Ordering::Relaxed);
    })?;
    FIRED.store(0, Ordering::Relaxed);
    let before = table.count(vectors::TIMER.get());
    let deadline = time::nanoseconds() + time;
    timer.at(deadline)?;
    loop {
        // Interrupts are disabled, so that the timer does not fire between the check and the halt.
        interrupts::disable();
        if timer.fired() > 0 {
            break;
        }
        processor::enable_and_halt();
        if cancel::is_requested() {
            // The drop cancels the timer.
            return Ok(());
        }
    }
    interrupts::enable();
    let late = FIRED.load(Ordering::Relaxed) - time::timestamp_at(deadline);
    let count = table.count(vectors::TIMER.get()) - before;
    println!(
        "Fired {} after it was started, {late} TSC cycles late, at interrupt {count} of the local APIC's timer.",
        Nanoseconds(time)
    );
    Ok(())
}

fn list() {
    println!("  CPU  timer                   next in      period       fired      missed");
    let mut any = false;
    timer::for_each(|row| {
        any = true;
        show(row);
    });
    if !any {
        println!("  none");
    }
}

fn show(row: Row) {
    let now = time::nanoseconds();
    let cell = |time: Option<u64>| time.map_or("-".into(), |time| Nanoseconds(time).to_string());
    println!(
        "  {:>3}  {:<18}  {:>11}  {:>10}  {:>10}  {:>10}",
        row.cpu,
        row.name,
        cell(row.next.map(|next| next.saturating_sub(now))),
        cell(row.period),
        row.fired,
        row.missed
    );
}
