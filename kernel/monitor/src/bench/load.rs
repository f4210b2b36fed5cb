//! The latency of a timer under loads, from its deadline to the start of its function
//! (`timer.jitter`), and its breakdown (`load.timer`).
//!
//! The timer uses the kernel's normal path through the queue of its CPU, except that its vector is
//! one of the same class whose gate is stamped. Its deadline is known to the cycle. The module
//! `delays` records the sections that delay it from there on. The rest of the latency is attributed
//! to the hardware before the gate, and to dispatch after it.
//!
//! Three of the loads have a known cause: each delays the interrupt from before the deadline until
//! a time after it. Under the mixed load, the CPU's thread takes locks, ceilings and IRQs-off
//! sections, other timers fire, and self-IPIs and IPIs of a remote CPU arrive, all for
//! pseudo-random times. The mixed load is not a metric in instructions: the rounding of a deadline
//! in nanoseconds depends on the time of the boot, and one additional instruction changes
//! everything that follows.

use crate::raw;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::bench::{Split, split};
use tocsin_logic::vector::PriorityClass;

use super::baselines::{GATE, Installed};
use super::clock::{Clock, sleep_until, stamp};
use super::delays::{self, CLASS, HandlerOverhead, Recording};
use super::interrupt_load::{self, InterruptLoad, PIECE, WORKS, random, spin_until, work_until};
use super::quiesce::quiesce;
use super::record::{About, Value};
use super::runner::Bench;
use super::stamped::{self, Stamped};
use tocsin::priority::{self, CeilingMutex};
use tocsin::sync::{IrqMutex, without_interrupts};
use tocsin::time;
use tocsin::timer::{Expiry, Mode, Timer, TimerError};

/// The factor for the number of samples where instructions are counted: these samples differ.
const COUNTED: usize = 6;

/// The number of warm-up samples.
const WARM_UP: usize = 100;

/// The maximum time for one load, in nanoseconds.
const BUDGET: u64 = 3_000_000_000;

/// The minimum time from the start of the timer to its deadline, and the range of the random time
/// added to it, in nanoseconds.
const SOON: u64 = 20_000;
const SPREAD: u64 = 60_000;

/// The time before and after the deadline for which a load with a known cause delays the interrupt,
/// in cycles.
const BEFORE: u64 = 2_000;
const AFTER: u64 = 10_000;

/// The time at which the measured function began; 0 before. And the time at which its gate was
/// entered.
static FIRED: AtomicU64 = AtomicU64::new(0);
static GATE_OF: AtomicU64 = AtomicU64::new(0);

/// A lock below the timer's class, one of its class, and one that disables interrupts.
static LOW: CeilingMutex<()> = CeilingMutex::new(class(5), ());
static HIGH: CeilingMutex<()> = CeilingMutex::new(CLASS, ());
static MASKING: IrqMutex<()> = IrqMutex::new(());

const fn class(number: u8) -> PriorityClass {
    PriorityClass::new(number).expect("a class is 0 to 15")
}

/// What the thread does while it waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Load {
    /// The CPU halts.
    Idle,
    /// The thread has interrupts disabled from before the deadline.
    Off,
    /// The thread has CR8 raised.
    Cr8,
    /// The CPU runs a handler of the same class.
    Service,
    /// All of these.
    Mixed,
}

impl Load {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Idle, "idle"),
        (Self::Off, "if_off"),
        (Self::Cr8, "cr8"),
        (Self::Service, "in_service"),
        (Self::Mixed, "mixed"),
    ];
}

pub(super) fn run(bench: &mut Bench) {
    if let Err(error) = measure(bench) {
        bench.skip("load.timer", &alloc::format!("{error}"));
    }
}

fn measure(bench: &mut Bench) -> Result<(), TimerError> {
    let _installed = Installed::new();
    let (ends, measuring) = stamped::costs(bench);
    let begin = |_: &Expiry<'_>| {
        FIRED.store(stamp(), Ordering::Relaxed);
        GATE_OF.store(GATE.load(Ordering::Relaxed), Ordering::Relaxed);
    };
    let mut timer = Timer::new("bench", Mode::Interrupt, begin)?;
    let mut others = InterruptLoad::new()?;
    let mut stamped = Stamped::begin(&mut timer);
    for (load, name) in Load::ALL {
        let param = [("load", Value::Word(name))];
        let (splits, below_zero) = under(bench, load, &mut stamped, &mut others, (ends, measuring));
        let is_metric = match load {
            Load::Idle => true,
            Load::Mixed => bench.clock == Clock::Cycles,
            Load::Off | Load::Cr8 | Load::Service => false,
        };
        if is_metric {
            let mut totals: Vec<u64> = splits.iter().map(|it| it.total()).collect();
            let about = About {
                name: "timer.jitter",
                variant: "tocsin",
                unit: bench.clock.name(),
                param: &param,
                overhead: measuring,
                below_zero,
            };
            bench.metric(about, &mut totals);
        }
        bench.cause("load.timer", &param, &splits, below_zero);
    }
    drop(stamped);
    Ok(())
}

/// Takes samples under a load. Returns their breakdowns, and the number of samples whose dispatch
/// was shorter than the cost of measuring.
fn under(
    bench: &Bench,
    load: Load,
    stamped: &mut Stamped<'_>,
    others: &mut InterruptLoad,
    (ends, measuring): (HandlerOverhead, u64),
) -> (Vec<Split>, usize) {
    let count = match bench.clock {
        Clock::Cycles => bench.samples,
        Clock::Instructions => bench.samples * COUNTED,
    };
    interrupt_load::restart();
    quiesce();
    let pest = if load == Load::Mixed {
        interrupt_load::load_this_cpu()
    } else {
        None
    };
    let recording = Recording::begin(ends);
    if load == Load::Mixed {
        others.start();
    }
    let mut splits = Vec::with_capacity(count);
    let mut below_zero = 0;
    let begin = time::nanoseconds();
    for number in 0..count + count.min(WARM_UP) {
        let split = sample(load, stamped.timer);
        if let (true, Some(mut split)) = (number >= count.min(WARM_UP), split) {
            below_zero += usize::from(split.dispatch < measuring);
            split.dispatch = split.dispatch.saturating_sub(measuring);
            splits.push(split);
        }
        if bench.clock == Clock::Cycles && time::has_passed(begin, BUDGET) {
            break;
        }
    }
    others.stop();
    drop(recording);
    drop(pest);
    (splits, below_zero)
}

/// Sets the timer, applies the load, and splits the latency into its parts. Returns `None` if there
/// were more sections than the log can hold.
fn sample(load: Load, timer: &mut Timer) -> Option<Split> {
    FIRED.store(0, Ordering::Relaxed);
    let due = time::nanoseconds() + SOON + random() % SPREAD;
    let deadline = time::timestamp_at(due);
    let _ = timer.at(due);
    let hold = || spin_until(deadline + AFTER);
    if !matches!(load, Load::Idle | Load::Mixed) {
        spin_until(deadline - BEFORE);
    }
    match load {
        Load::Idle => sleep_until(|| FIRED.load(Ordering::Relaxed) != 0),
        Load::Off => without_interrupts(hold),
        Load::Cr8 => {
            let _raised = priority::raise(CLASS);
            hold();
        }
        Load::Service => {
            work_until(deadline + AFTER);
        }
        Load::Mixed => {
            while FIRED.load(Ordering::Relaxed) == 0 {
                piece();
            }
        }
    }
    let began = loop {
        let fired = FIRED.load(Ordering::Relaxed);
        if fired != 0 {
            break fired;
        }
    };
    let gate = GATE_OF.load(Ordering::Relaxed);
    let sections = delays::between(deadline, gate, began)?;
    Some(split(deadline, gate, began, &sections))
}

/// A piece of the mixed load, of a pseudo-random kind and length.
fn piece() {
    let length = random() % PIECE;
    let spin = || spin_until(stamp() + length);
    match random() % 7 {
        0 => without_interrupts(spin),
        1 => {
            let _guard = MASKING.lock();
            spin();
        }
        2 => {
            let _guard = LOW.lock();
            spin();
        }
        3 => {
            let _guard = HIGH.lock();
            spin();
        }
        4 => {
            let _low = LOW.lock();
            let _raised = priority::raise(class(9));
            spin();
        }
        5 => raw::send_to_self(WORKS),
        _ => spin(),
    }
}
