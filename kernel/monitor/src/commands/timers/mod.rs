//! `timers`: the timers of all CPUs, and their test.

mod cases;
mod test;

use alloc::string::ToString;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tocsin::cpu::handlers::INTERRUPTS;
use tocsin_logic::script;
use tocsin_logic::units::Nanoseconds;
use x86_64::instructions::interrupts;

use crate::command::{Arguments, CommandError};
use crate::record::Output;
use tocsin::apic::vectors;
use tocsin::hw::processor;
use tocsin::timer::{self, Mode, Snapshot, Timer, TimerError};
use tocsin::{Machine, cancel, time};

/// The maximum wait, in milliseconds: one day.
const LONGEST: u64 = 86_400_000;

const WAIT_USAGE: &str = "timers wait <milliseconds>";

pub(super) fn timers(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    match arguments.next_word() {
        None => {
            list(output);
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
            test::run(seed, output)
        }
        Some("wait") => {
            let milliseconds = arguments.number(LONGEST)?;
            let milliseconds = milliseconds.ok_or(CommandError::MissingArgument(WAIT_USAGE))?;
            arguments.end()?;
            wait(milliseconds * 1_000_000, output)
                .map_err(|error| CommandError::Failed(error.to_string()))
        }
        Some(word) => Err(CommandError::BadArgument {
            given: word.to_string(),
            expected: "nothing, `test` or `wait`".into(),
        }),
    }
}

/// The time at which the timer of [`wait`] fired, in TSC cycles; 0 before that.
static FIRED: AtomicU64 = AtomicU64::new(0);

/// The result of a wait for a timer.
#[derive(Serialize)]
struct WaitRecord {
    duration_ns: u64,
    /// The TSC cycles from the deadline to the call of the timer's function.
    late_cycles: u64,
    /// The interrupts of the local APIC's timer meanwhile.
    interrupts: u64,
}

impl fmt::Display for WaitRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Fired {} after it was started, {} TSC cycles late, at interrupt {} of the local \
             APIC's timer.",
            Nanoseconds(self.duration_ns),
            self.late_cycles,
            self.interrupts
        )
    }
}

/// Halts until a timer of this CPU has fired, `time` nanoseconds from now.
fn wait(time: u64, output: Output) -> Result<(), TimerError> {
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
    let record = WaitRecord {
        duration_ns: time,
        late_cycles: FIRED.load(Ordering::Relaxed) - time::timestamp_at(deadline),
        interrupts: table.count(vectors::TIMER.get()) - before,
    };
    output.print("timer_wait", &record);
    Ok(())
}

/// A timer.
#[derive(Serialize)]
struct TimerRecord {
    cpu: u32,
    name: &'static str,
    /// The time until it fires; none if it is not started.
    next_ns: Option<u64>,
    /// None if it fires once.
    period_ns: Option<u64>,
    fired: u64,
    missed: u64,
}

impl TimerRecord {
    fn of(snapshot: Snapshot) -> Self {
        let now = time::nanoseconds();
        Self {
            cpu: snapshot.cpu,
            name: snapshot.name,
            next_ns: snapshot.next.map(|next| next.saturating_sub(now)),
            period_ns: snapshot.period,
            fired: snapshot.fired,
            missed: snapshot.missed,
        }
    }
}

impl fmt::Display for TimerRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cell =
            |time: Option<u64>| time.map_or("-".into(), |time| Nanoseconds(time).to_string());
        write!(
            f,
            "  {:>3}  {:<18}  {:>11}  {:>10}  {:>10}  {:>10}",
            self.cpu,
            self.name,
            cell(self.next_ns),
            cell(self.period_ns),
            self.fired,
            self.missed
        )
    }
}

fn list(output: Output) {
    output.heading("  CPU  timer                   next in      period       fired      missed");
    let mut any = false;
    timer::for_each(|snapshot| {
        any = true;
        output.print("timer", &TimerRecord::of(snapshot));
    });
    if !any {
        output.heading("  none");
    }
}
