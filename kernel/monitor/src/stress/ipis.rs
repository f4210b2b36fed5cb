//! What the CPUs send each other: to lines, as calls and as work; and the timers they set themselves.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use fastrand::Rng;
use spin::RwLock;
use tocsin_logic::vector::PriorityClass;

use super::account::{self, Kind, moved, not_sent, received, sent};
use tocsin::ipi::{Targets, call};
use tocsin::line::{Line, LineError, Request, Source};
use tocsin::timer::{Expiry, Mode, Timer};
use tocsin::{deferred, smp, time};

/// Classes that the lines have, in turn.
const CLASSES: core::ops::RangeInclusive<u8> = 3..=12;

/// Most lines.
const LINES: usize = 64;

/// One in so many handlers sends the next line's interrupt from within.
const CHAIN: u64 = 2;

/// How long an interrupt may take to arrive, in nanoseconds.
const PATIENCE: u64 = 5_000_000_000;

/// The longest time that a timer is set to, in nanoseconds.
const LONGEST: u64 = 300_000;

/// A line and whether an interrupt of it is on its way.
struct Target {
    line: Line,
    is_on_its_way: &'static AtomicBool,
}

static POOL: RwLock<Vec<Target>> = RwLock::new(Vec::new());

/// For each line, whether an interrupt of it is on its way.
static ON_THEIR_WAY: [AtomicBool; LINES] = [const { AtomicBool::new(false) }; LINES];

/// Makes the lines: as a rule eight for each CPU, so that each has several classes.
pub(super) fn set_up(seed: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let count = (8 * smp::all().len()).clamp(CLASSES.count(), LINES);
    let mut pool = Vec::new();
    for (index, class) in (0..count).zip(CLASSES.cycle()) {
        let is_on_its_way = &ON_THEIR_WAY[index];
        is_on_its_way.store(false, Ordering::Relaxed);
        let request = Request {
            name: "storm",
            source: Source::Message,
            // Within the classes that there are.
            class: PriorityClass::new(class).unwrap_or(PriorityClass::HIGHEST),
            cpu: super::any_cpu(&mut rng),
        };
        let times = AtomicU64::new(0);
        let handler = move || {
            // From here on the next may be sent; it waits until this one is ended.
            is_on_its_way.store(false, Ordering::Release);
            if times.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHAIN) {
                trigger(index + 1);
            }
            // Last, so that the account is not even while more is about to be sent.
            received(Kind::Line, 1);
        };
        let line = Line::new(request, handler).map_err(|error| format!("{error}"))?;
        pool.push(Target {
            line,
            is_on_its_way,
        });
    }
    *POOL.write() = pool;
    Ok(())
}

/// Drops the lines.
pub(super) fn tear_down() {
    // Not while others wait for the lock: dropping takes time.
    let pool = core::mem::take(&mut *POOL.write());
    drop(pool);
}

/// Sends a line's interrupt, unless one is on its way. Thread or handler.
fn trigger(index: usize) {
    // Only who sets up and tears down writes, and then nothing is sent.
    let Some(pool) = POOL.try_read() else { return };
    let Some(target) = pool.get(index) else {
        return;
    };
    if !target.is_on_its_way.swap(true, Ordering::Acquire) {
        sent(Kind::Line, 1);
        target.line.trigger().expect("it has no input");
    }
}

pub(super) fn trigger_any(rng: &mut Rng) {
    let count = POOL.read().len();
    trigger(rng.usize(0..count.max(1)));
}

/// Moves some line to this CPU.
pub(super) fn move_any(cpu: u32, rng: &mut Rng) {
    let pool = POOL.read();
    let Some(target) = pool.get(rng.usize(0..pool.len().max(1))) else {
        return;
    };
    match target.line.move_to(cpu) {
        Ok(()) => moved(true),
        Err(LineError::Moving) => moved(false),
        Err(error) => account::error(format!("moving a line to CPU {cpu}: {error}")),
    }
}

/// Starts a timer of a CPU, and drops it when it has fired; or, as often, before.
pub(super) fn set_timer(cpu: u32, rng: &mut Rng) {
    let function = |_: &Expiry<'_>| received(Kind::Timer, 1);
    let mode = if rng.bool() {
        Mode::Interrupt
    } else {
        Mode::Deferred
    };
    let mut timer = match Timer::on(cpu, "storm", mode, function) {
        Ok(timer) => timer,
        Err(error) => return account::error(format!("a timer of CPU {cpu}: {error}")),
    };
    sent(Kind::Timer, 1);
    if let Err(error) = timer.after(rng.u64(0..LONGEST)) {
        return account::error(format!("starting a timer of CPU {cpu}: {error}"));
    }
    if rng.bool() && timer.cancel() {
        not_sent(Kind::Timer);
        return;
    }
    // A drop before its function is called would be another way to cancel it.
    time::wait_until(PATIENCE, || timer.fired() > 0);
}

/// Makes a line, sends its interrupt, and drops it when that has come.
pub(super) fn come_and_go(cpu: u32, rng: &mut Rng) {
    let came = alloc::sync::Arc::new(AtomicBool::new(false));
    let class = rng.u8(CLASSES);
    let request = Request {
        name: "storm, short",
        source: Source::Message,
        class: PriorityClass::new(class).unwrap_or(PriorityClass::HIGHEST),
        cpu,
    };
    let handler = {
        let came = alloc::sync::Arc::clone(&came);
        move || {
            received(Kind::ShortLine, 1);
            came.store(true, Ordering::Release);
        }
    };
    match Line::new(request, handler) {
        Ok(line) => {
            sent(Kind::ShortLine, 1);
            line.trigger().expect("it has no input");
            time::wait_until(PATIENCE, || came.load(Ordering::Acquire));
        }
        // All vectors of the class are taken for a moment.
        Err(LineError::Vectors { .. }) => {}
        Err(error) => account::error(format!("a line on CPU {cpu}: {error}")),
    }
}

/// Calls a function on a CPU.
pub(super) fn call(cpu: u32, wait: bool) {
    extern "C" fn called(kind: usize) {
        received(Kind::ALL[kind], 1);
    }
    let kind = if wait { Kind::WaitedCall } else { Kind::Call };
    sent(kind, 1);
    let argument = kind as usize;
    let made = if wait {
        call::and_wait(cpu, called, argument).is_ok()
    } else {
        call::start(cpu, called, argument).is_ok()
    };
    if !made {
        // Too many wait there already.
        not_sent(kind);
    }
}

/// Calls a function on all others.
pub(super) fn call_all() {
    let others = smp::all().len() - 1;
    sent(Kind::Broadcast, others as u64);
    if let Err(error) = call::run(Targets::Others, || received(Kind::Broadcast, 1)) {
        account::error(format!("a call to all others: {error}"));
    }
}

/// Puts work off on a CPU.
pub(super) fn put_off(cpu: u32) {
    extern "C" fn work(_: usize) {
        received(Kind::Work, 1);
    }
    sent(Kind::Work, 1);
    if deferred::defer_on(cpu, work, 0).is_err() {
        // Too much waits there already.
        not_sent(Kind::Work);
    }
}
