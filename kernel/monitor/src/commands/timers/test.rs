//! `timers test`: runs every case on all CPUs at once, and compares the expected with the actual
//! counts.

use core::cell::RefCell;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use serde::Serialize;
use x86_64::instructions::interrupts;

use super::cases;
use crate::command::CommandError;
use crate::commands::checks::Checks;
use crate::record::{self, Output};
use tocsin::hw::processor;
use tocsin::ipi::jobs;
use tocsin::timer::{Mode, Timer};
use tocsin::{cancel, cpu, println, time};

/// The timeout for an expected event, in nanoseconds.
const TIMEOUT: u64 = 30_000_000_000;

/// The time between two checks of a condition, in nanoseconds, for which the CPU halts.
const NAP: u64 = 100_000;

/// A test case and its counts.
struct Case {
    name: &'static str,
    title: &'static str,
    run: fn(&TestContext),
    expected: AtomicU64,
    received: AtomicU64,
}

const fn case(name: &'static str, title: &'static str, run: fn(&TestContext)) -> Case {
    Case {
        name,
        title,
        run,
        expected: AtomicU64::new(0),
        received: AtomicU64::new(0),
    }
}

static CASES: [Case; 9] = [
    case("scattered", "fired or cancelled, of many", cases::scattered),
    case("periodic", "periods fired or missed", cases::periodic),
    case(
        "elsewhere",
        "on other CPUs, fired or cancelled",
        cases::elsewhere,
    ),
    case(
        "dropped_while_firing",
        "calls before a drop returned",
        cases::dropped_while_firing,
    ),
    case(
        "restarted_inside",
        "started by their own function",
        cases::restarted_inside,
    ),
    case(
        "dropped_inside",
        "dropped by their own function",
        cases::dropped_inside,
    ),
    case("from_handlers", "started by handlers", cases::from_handlers),
    case(
        "from_a_function",
        "started by another's function",
        cases::from_a_function,
    ),
    case("full", "slots, all in use", cases::full),
];

/// A violation that must never occur.
#[derive(Clone, Copy, Debug)]
pub(super) enum Violation {
    Early,
    OutOfOrder,
    Twice,
    AfterCancel,
    AfterDrop,
    OtherCpu,
    Refused,
    NotFreed,
    Drift,
}

/// The names and titles of the violations, in the order of [`Violation`].
const VIOLATIONS: [(&str, &str); 9] = [
    ("early", "fired early"),
    ("out_of_order", "fired out of order"),
    ("twice", "fired twice"),
    ("after_cancel", "fired when cancelled"),
    ("after_drop", "fired when dropped"),
    ("other_cpu", "fired on another CPU"),
    ("rejected", "rejected"),
    ("not_freed", "functions not freed"),
    ("drift", "off the period's grid"),
];

static VIOLATION_COUNTS: [AtomicU64; VIOLATIONS.len()] =
    [const { AtomicU64::new(0) }; VIOLATIONS.len()];

/// Counts a violation.
pub(super) fn note(wrong: Violation) {
    VIOLATION_COUNTS[wrong as usize].fetch_add(1, Ordering::Relaxed);
}

/// Counts a violation unless `is_right`.
pub(super) fn check(is_right: bool, wrong: Violation) {
    if !is_right {
        note(wrong);
    }
}

/// The environment of a case on each CPU.
#[derive(Debug)]
pub(super) struct TestContext {
    pub(super) cpu: u32,
    random: RefCell<Rng>,
    /// A timer that wakes this CPU while it waits.
    alarm: RefCell<Option<Timer>>,
    case: usize,
}

impl TestContext {
    /// Returns a random number below `end`.
    pub(super) fn random(&self, end: u64) -> u64 {
        self.random.borrow_mut().u64(..end)
    }

    /// Waits for `condition`. After a timeout, the counts show what is missing.
    pub(super) fn wait_for(&self, condition: impl Fn() -> bool) {
        time::wait_until(TIMEOUT, || {
            condition() || {
                self.nap();
                condition()
            }
        });
    }

    /// Halts, so that many virtual CPUs on few host CPUs do not block each other.
    fn nap(&self) {
        if let Some(alarm) = self.alarm.borrow_mut().as_mut() {
            // Interrupts are disabled, so that the alarm does not fire before the halt.
            interrupts::disable();
            check(alarm.after(NAP).is_ok(), Violation::Refused);
            processor::enable_and_halt();
        }
    }

    /// Adds to the expected and the actual count.
    pub(super) fn count(&self, expected: u64, received: u64) {
        let counts = &CASES[self.case];
        counts.expected.fetch_add(expected, Ordering::Relaxed);
        counts.received.fetch_add(received, Ordering::Relaxed);
    }
}

static SEED: AtomicU64 = AtomicU64::new(0);

/// The start of a test.
#[derive(Serialize)]
struct TestRecord {
    seed: u64,
}

impl fmt::Display for TestRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seed = self.seed;
        write!(
            f,
            "seed {seed}; `timers test {seed}` draws the same deadlines"
        )
    }
}

/// The counts of a case.
#[derive(Serialize)]
struct CaseRecord {
    case: &'static str,
    expected: u64,
    received: u64,
    #[serde(skip)]
    title: &'static str,
}

/// The number of violations of a kind, which must be 0.
#[derive(Serialize)]
struct ViolationRecord {
    violation: &'static str,
    count: u64,
}

/// Prints a row of the table.
fn row(title: &str, expected: impl fmt::Display, received: impl fmt::Display) {
    println!("  {title:<36}  {expected:>9}  {received:>9}");
}

/// Runs all cases with deadlines derived from `seed`.
pub(super) fn run(seed: u64, output: Output) -> Result<(), CommandError> {
    SEED.store(seed, Ordering::Relaxed);
    for count in &VIOLATION_COUNTS {
        count.store(0, Ordering::Relaxed);
    }
    output.print("timers_test", &TestRecord { seed });
    if output == Output::Text {
        row("what", "expected", "received");
    }
    let checks = Checks::default();
    for index in 0..CASES.len() {
        if cancel::is_requested() {
            return Err(CommandError::Cancelled);
        }
        let case = run_case(index)?;
        match output {
            Output::Text => row(case.title, case.expected, case.received),
            Output::Records => record::print("timers_case", &case),
        }
        checks.note(case.expected == case.received);
    }
    for (&(violation, title), count) in VIOLATIONS.iter().zip(&VIOLATION_COUNTS) {
        let count = count.load(Ordering::Relaxed);
        match output {
            Output::Text => row(title, 0, count),
            Output::Records => {
                record::print("timers_violation", &ViolationRecord { violation, count });
            }
        }
        checks.note(count == 0);
    }
    checks.finish(output)
}

/// Runs a case on all CPUs.
fn run_case(index: usize) -> Result<CaseRecord, CommandError> {
    let case = &CASES[index];
    case.expected.store(0, Ordering::Relaxed);
    case.received.store(0, Ordering::Relaxed);
    INDEX.store(index as u64, Ordering::Relaxed);
    jobs::run_on_all(run_here).map_err(CommandError::Cpu)?;
    Ok(CaseRecord {
        case: case.name,
        expected: case.expected.load(Ordering::Relaxed),
        received: case.received.load(Ordering::Relaxed),
        title: case.title,
    })
}

static INDEX: AtomicU64 = AtomicU64::new(0);

/// Runs a case on this CPU.
fn run_here(_: u64) {
    let case = INDEX.load(Ordering::Relaxed) as usize;
    let cpu = cpu::current().id();
    let seed = SEED.load(Ordering::Relaxed);
    let own = seed ^ (u64::from(cpu) << 32 | case as u64);
    let test = TestContext {
        cpu,
        random: RefCell::new(Rng::with_seed(own)),
        alarm: RefCell::new(Timer::new("test alarm", Mode::Interrupt, |_| ()).ok()),
        case,
    };
    (CASES[case].run)(&test);
}
