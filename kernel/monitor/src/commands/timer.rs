//! `timer`: the clocks, and the local APIC timer in each of its modes, without the timer queue.

use alloc::string::{String, ToString};
use core::fmt;

use serde::Serialize;
use tocsin_logic::apic::calibration::Clock;
use tocsin_logic::units::Nanoseconds;

use crate::command::{Arguments, CommandError};
use crate::record::{self, Output};
use tocsin::timer::lapic::{self, CountError};
use tocsin::timer::{self, Borrowed};
use tocsin::{Machine, println, time};

/// The one-shot interval and the period, in nanoseconds.
const ONCE: u64 = 2_000_000;
const PERIOD: u64 = 1_000_000;

/// The number of periodic interrupts to wait for.
const PERIODS: u64 = 10;

/// The timeout after which an interrupt counts as missing, in nanoseconds.
const TIMEOUT: u64 = 2_000_000_000;

/// The time-stamp counter.
#[derive(Serialize)]
struct TscRecord {
    hertz: u64,
    source: &'static str,
    #[serde(skip)]
    source_text: time::Source,
}

impl TscRecord {
    fn now() -> Self {
        let frequency = time::frequency();
        Self {
            hertz: frequency.hertz,
            source: match frequency.source {
                time::Source::CpuidCrystal => "cpuid_crystal",
                time::Source::Hypervisor => "hypervisor",
                time::Source::Hpet => "hpet",
                time::Source::PmTimer => "pm_timer",
                time::Source::Pit => "pit",
                time::Source::Assumed => "assumed",
            },
            source_text: frequency.source,
        }
    }
}

impl fmt::Display for TscRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TSC: {} Hz, {}", self.hertz, self.source_text)
    }
}

/// The timer of the local APICs.
#[derive(Serialize)]
struct TimerRecord {
    /// None if it could not be measured.
    hertz: Option<u64>,
    /// The clock against which it was measured.
    reference: &'static str,
    has_deadline: bool,
    #[serde(skip)]
    clock: Clock,
}

impl TimerRecord {
    fn of(info: &lapic::Timer) -> Self {
        let clock = info.reference.clock;
        Self {
            hertz: info.hertz,
            reference: match clock {
                Clock::Hpet { .. } => "hpet",
                Clock::PmTimer { .. } => "pm_timer",
                Clock::Pit => "pit",
            },
            has_deadline: info.has_deadline,
            clock,
        }
    }

    fn show(&self) {
        match self.hertz {
            Some(hertz) => println!(
                "Local APIC timer: {hertz} Hz, measured against the {}",
                self.clock
            ),
            None => println!("Local APIC timer: its rate could not be measured"),
        }
        let value = if self.has_deadline { "yes" } else { "no" };
        println!("TSC-deadline mode: {value}");
    }
}

/// A run of the timer in one mode.
#[derive(Serialize)]
struct RunRecord {
    mode: &'static str,
    expected: u64,
    received: u64,
    duration_ns: u64,
    expected_ns: u64,
    /// The reason why the timer was not started.
    error: Option<String>,
}

impl fmt::Display for RunRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mode = match self.mode {
            "one_shot" => "one-shot",
            mode => mode,
        };
        match &self.error {
            Some(error) => write!(f, "  {mode}: {error}"),
            None => write!(
                f,
                "  {mode}: {} of {} interrupts in {}, {} wanted",
                self.received,
                self.expected,
                Nanoseconds(self.duration_ns),
                Nanoseconds(self.expected_ns)
            ),
        }
    }
}

pub(super) fn timer(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    output.print("tsc", &TscRecord::now());
    let Some(info) = lapic::info() else {
        output.heading("The local APIC's timer has not been measured.");
        return Ok(());
    };
    let info = TimerRecord::of(info);
    match output {
        Output::Text => info.show(),
        Output::Records => record::print("local_apic_timer", &info),
    }
    let timer = timer::borrow().map_err(|lent| CommandError::Failed(lent.to_string()))?;
    let show = |run| output.print("timer_run", &run);
    show(run(&timer, "one_shot", ONCE, 1, |timer| {
        timer.start_once(ONCE)
    }));
    show(run(&timer, "periodic", PERIOD, PERIODS, |timer| {
        timer.start_periodic(PERIOD)
    }));
    if info.has_deadline {
        show(run(&timer, "deadline", ONCE, 1, |timer| {
            timer.start_deadline(ONCE)
        }));
    }
    Ok(())
}

/// Starts the timer, and waits for `count` interrupts at intervals of `interval` nanoseconds.
fn run(
    timer: &Borrowed,
    mode: &'static str,
    interval: u64,
    count: u64,
    start: fn(&Borrowed) -> Result<(), CountError>,
) -> RunRecord {
    // The count is read before the start, because a virtual CPU may be descheduled for longer than
    // the interval immediately after it.
    let first = timer.ticks();
    let seen = || timer.ticks() - first;
    let begin = time::nanoseconds();
    let error = start(timer).err();
    if error.is_none() {
        time::wait_until(TIMEOUT, || seen() >= count);
    }
    let duration_ns = time::nanoseconds() - begin;
    timer.stop();
    RunRecord {
        mode,
        expected: count,
        received: seen().min(count),
        duration_ns,
        expected_ns: interval * count,
        error: error.map(|error| error.to_string()),
    }
}
