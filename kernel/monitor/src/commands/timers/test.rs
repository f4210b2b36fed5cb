//! `timers test`: runs every case on all CPUs at once, and compares the expected with the actual
//! counts.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;
use x86_64::instructions::interrupts;

use super::cases;
use crate::command::CommandError;
use tocsin::hw::processor;
use tocsin::ipi::jobs;
use tocsin::timer::{Mode, Timer};
use tocsin::{cancel, cpu, println, time};

/// The timeout for an expected event, in nanoseconds.
const PATIENCE: u64 = 30_000_000_000;

/// The time between two checks of a condition, in nanoseconds, for which the CPU halts.
const NAP: u64 = 100_000;

/// A test case and its counts.
struct Case {
    name: &'static str,
    run: fn(&Ground),
    expected: AtomicU64,
    came: AtomicU64,
}

const fn case(name: &'static str, run: fn(&Ground)) -> Case {
    Case {
        name,
        run,
        expected: AtomicU64::new(0),
        came: AtomicU64::new(0),
    }
}

static CASES: [Case; 9] = [
    case("fired or cancelled, of many", cases::scattered),
    case("periods fired or missed", cases::periodic),
    case("on other CPUs, fired or cancelled", cases::elsewhere),
    case("calls before a drop returned", cases::dropped_while_firing),
    case("started by their own function", cases::restarted_inside),
    case("dropped by their own function", cases::dropped_inside),
    case("started by handlers", cases::from_handlers),
    case("started by another's function", cases::from_a_function),
    case("places, all in use", cases::full),
];

/// A violation that must never occur.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wrong {
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

/// The names of the violations, in the order of [`Wrong`].
const WRONGS: [&str; 9] = [
    "fired early",
    "fired out of order",
    "fired twice",
    "fired when cancelled",
    "fired when dropped",
    "fired on another CPU",
    "refused",
    "functions not freed",
    "off the period's grid",
];

static WRONG: [AtomicU64; WRONGS.len()] = [const { AtomicU64::new(0) }; WRONGS.len()];

/// Counts a violation.
pub(super) fn note(wrong: Wrong) {
    WRONG[wrong as usize].fetch_add(1, Ordering::Relaxed);
}

/// Counts a violation unless `is_right`.
pub(super) fn check(is_right: bool, wrong: Wrong) {
    if !is_right {
        note(wrong);
    }
}

/// The environment of a case on each CPU.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) cpu: u32,
    random: RefCell<Rng>,
    /// A timer that wakes this CPU while it waits.
    alarm: RefCell<Option<Timer>>,
    case: usize,
}

impl Ground {
    /// Returns a random number below `end`.
    pub(super) fn random(&self, end: u64) -> u64 {
        self.random.borrow_mut().u64(..end)
    }

    /// Waits for `condition`. After a timeout, the counts show what is missing.
    pub(super) fn wait_for(&self, condition: impl Fn() -> bool) {
        time::wait_until(PATIENCE, || {
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
            check(alarm.after(NAP).is_ok(), Wrong::Refused);
            processor::enable_and_halt();
        }
    }

    /// Adds to the expected and the actual count.
    pub(super) fn count(&self, expected: u64, came: u64) {
        let counts = &CASES[self.case];
        counts.expected.fetch_add(expected, Ordering::Relaxed);
        counts.came.fetch_add(came, Ordering::Relaxed);
    }
}

static SEED: AtomicU64 = AtomicU64::new(0);

/// Runs all cases with deadlines derived from `seed`.
pub(super) fn run(seed: u64) -> Result<(), CommandError> {
    SEED.store(seed, Ordering::Relaxed);
    for count in &WRONG {
        count.store(0, Ordering::Relaxed);
    }
    println!("seed {seed}; `timers test {seed}` draws the same deadlines");
    println!("  {:<36}  {:>9}  {:>9}", "what", "expected", "came");
    let mut failed = 0;
    for (index, case) in CASES.iter().enumerate() {
        case.expected.store(0, Ordering::Relaxed);
        case.came.store(0, Ordering::Relaxed);
        INDEX.store(index as u64, Ordering::Relaxed);
        if cancel::is_requested() {
            return Err(CommandError::Cancelled);
        }
        jobs::run_on_all(run_here).map_err(CommandError::Cpu)?;
        let [expected, came] =
            [&case.expected, &case.came].map(|count| count.load(Ordering::Relaxed));
        println!("  {:<36}  {expected:>9}  {came:>9}", case.name);
        failed += u64::from(expected != came);
    }
    for (name, count) in WRONGS.iter().zip(&WRONG) {
        let count = count.load(Ordering::Relaxed);
        println!("  {name:<36}  {:>9}  {count:>9}", 0);
        failed += u64::from(count != 0);
    }
    if failed > 0 {
        let why = alloc::format!("{failed} of the counts above are not what was expected");
        return Err(CommandError::Failed(why));
    }
    Ok(())
}

static INDEX: AtomicU64 = AtomicU64::new(0);

/// Runs a case on this CPU.
fn run_here(_: u64) {
    let case = INDEX.load(Ordering::Relaxed) as usize;
    let cpu = cpu::current().id();
    let seed = SEED.load(Ordering::Relaxed);
    let own = seed ^ (u64::from(cpu) << 32 | case as u64);
    let ground = Ground {
        cpu,
        random: RefCell::new(Rng::with_seed(own)),
        alarm: RefCell::new(Timer::new("test alarm", Mode::Interrupt, |_| ()).ok()),
        case,
    };
    (CASES[case].run)(&ground);
}
