//! The interrupts between CPUs: IPIs to lines, calls and deferred work; and timers.

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

/// The priority classes of the lines, which alternate.
const CLASSES: core::ops::RangeInclusive<u8> = 3..=12;

/// The maximum number of lines.
const LINES: usize = 64;

/// One in this many handlers sends the IPI of the next line.
const CHAIN: u64 = 2;

/// The timeout for an interrupt to arrive, in nanoseconds.
const TIMEOUT: u64 = 5_000_000_000;

/// The maximum time to a timer's deadline, in nanoseconds.
const MAX_DELAY: u64 = 300_000;

/// A line, and whether an interrupt of it is in transit.
struct Target {
    line: Line,
    is_in_flight: &'static AtomicBool,
}

static POOL: RwLock<Vec<Target>> = RwLock::new(Vec::new());

/// For each line, whether an interrupt of it is in transit.
static IN_FLIGHT: [AtomicBool; LINES] = [const { AtomicBool::new(false) }; LINES];

/// Creates the lines: normally eight for each CPU, so that each CPU has several classes.
pub(super) fn set_up(seed: u64) -> Result<(), String> {
    let mut rng = Rng::with_seed(seed);
    let count = (8 * smp::all().len()).clamp(CLASSES.count(), LINES);
    let mut pool = Vec::new();
    for (index, class) in (0..count).zip(CLASSES.cycle()) {
        let is_in_flight = &IN_FLIGHT[index];
        is_in_flight.store(false, Ordering::Relaxed);
        let request = Request {
            name: "storm",
            source: Source::Message,
            // Cannot fail: the class is in the valid range.
            class: PriorityClass::new(class).unwrap_or(PriorityClass::HIGHEST),
            cpu: super::any_cpu(&mut rng),
        };
        let times = AtomicU64::new(0);
        let handler = move || {
            // From here on the next interrupt may be sent; it is pending until this handler has
            // ended.
            is_in_flight.store(false, Ordering::Release);
            if times.fetch_add(1, Ordering::Relaxed).is_multiple_of(CHAIN) {
                trigger(index + 1);
            }
            // This is the last step, so that the account is not balanced while another interrupt is
            // about to be sent.
            received(Kind::LineIpi, 1);
        };
        let line = Line::new(request, handler).map_err(|error| format!("{error}"))?;
        pool.push(Target { line, is_in_flight });
    }
    *POOL.write() = pool;
    Ok(())
}

/// Drops the lines.
pub(super) fn tear_down() {
    // The lock is released first, because the drop takes time.
    let pool = core::mem::take(&mut *POOL.write());
    drop(pool);
}

/// Sends a line's interrupt, unless one is in transit. It runs in a thread or a handler.
fn trigger(index: usize) {
    // Only setup and teardown write the pool, and nothing is sent then.
    let Some(pool) = POOL.try_read() else { return };
    let Some(target) = pool.get(index) else {
        return;
    };
    if !target.is_in_flight.swap(true, Ordering::Acquire) {
        sent(Kind::LineIpi, 1);
        target.line.trigger().expect("it has no input");
    }
}

pub(super) fn trigger_any(rng: &mut Rng) {
    let count = POOL.read().len();
    trigger(rng.usize(0..count.max(1)));
}

/// Moves a random line to this CPU.
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

/// Starts a timer of a CPU. Half of the timers are dropped when they have fired, the other half
/// before.
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
    if let Err(error) = timer.after(rng.u64(0..MAX_DELAY)) {
        return account::error(format!("starting a timer of CPU {cpu}: {error}"));
    }
    if rng.bool() && timer.cancel() {
        not_sent(Kind::Timer);
        return;
    }
    // A drop before its function is called would be another way to cancel it.
    time::wait_until(TIMEOUT, || timer.fired() > 0);
}

/// Creates a line, sends its interrupt, and drops it when the interrupt has arrived.
pub(super) fn create_and_drop_line(cpu: u32, rng: &mut Rng) {
    let was_received = alloc::sync::Arc::new(AtomicBool::new(false));
    let class = rng.u8(CLASSES);
    let request = Request {
        name: "storm, short",
        source: Source::Message,
        class: PriorityClass::new(class).unwrap_or(PriorityClass::HIGHEST),
        cpu,
    };
    let handler = {
        let was_received = alloc::sync::Arc::clone(&was_received);
        move || {
            received(Kind::ShortLivedLine, 1);
            was_received.store(true, Ordering::Release);
        }
    };
    match Line::new(request, handler) {
        Ok(line) => {
            sent(Kind::ShortLivedLine, 1);
            line.trigger().expect("it has no input");
            time::wait_until(TIMEOUT, || was_received.load(Ordering::Acquire));
        }
        // All vectors of the class are in use at the moment.
        Err(LineError::Vectors { .. }) => {}
        Err(error) => account::error(format!("a line on CPU {cpu}: {error}")),
    }
}

/// Calls a function on a CPU.
pub(super) fn call(cpu: u32, wait: bool) {
    extern "C" fn called(kind: usize) {
        received(Kind::ALL[kind], 1);
    }
    let kind = if wait { Kind::Call } else { Kind::AsyncCall };
    sent(kind, 1);
    let argument = kind as usize;
    let made = if wait {
        call::sync(cpu, called, argument).is_ok()
    } else {
        call::post(cpu, called, argument).is_ok()
    };
    if !made {
        // The CPU already has too many pending calls.
        not_sent(kind);
    }
}

/// Calls a function on all other CPUs.
pub(super) fn call_all() {
    let others = smp::all().len() - 1;
    sent(Kind::BroadcastCall, others as u64);
    if let Err(error) = call::run(Targets::Others, || received(Kind::BroadcastCall, 1)) {
        account::error(format!("a call to all others: {error}"));
    }
}

/// Defers work to a CPU.
pub(super) fn defer(cpu: u32) {
    extern "C" fn work(_: usize) {
        received(Kind::DeferredWork, 1);
    }
    sent(Kind::DeferredWork, 1);
    if deferred::defer_on(cpu, work, 0).is_err() {
        // The CPU already has too much pending work.
        not_sent(Kind::DeferredWork);
    }
}
