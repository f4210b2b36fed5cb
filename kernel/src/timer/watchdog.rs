//! The watchdog: CPUs watch each other for lockups.
//!
//! A timer on each CPU is its heartbeat, in class 14. It checks the CPUs that follow in a ring; see
//! `tocsin_logic::irq::heartbeat`.
//!
//! | lockup | symptom | after |
//! |---|---|---|
//! | hard: interrupts are disabled, or all classes masked | no heartbeat | [`LIMIT`] |
//! | soft: a handler does not return, or CR8 stays raised | no deferred work (class 2) | [`HANDLERS_LIMIT`] |
//! | soft: handlers run without a pause | no heartbeat interrupts the thread | [`THREAD_LIMIT`] |
//!
//! A thread that runs for a long time is not a lockup. The report has the backtrace of the CPU,
//! taken by NMI. The machine continues, and the end of a lockup is also reported. A single CPU
//! detects its own soft lockups, but not a hard one.

use alloc::vec::Vec;
use core::mem;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tocsin_logic::irq::heartbeat::{self, Heartbeat, HeartbeatCounts, SoftLockup};
use tocsin_logic::units::Nanoseconds;

use crate::cpu::handlers::INTERRUPTS;
use crate::cpu::{self, PerCpu};
use crate::ipi::nmi;
use crate::ipi::wait::State;
use crate::sync::IrqMutex;
use crate::timer::{Expiry, Mode, Timer, TimerError};
use crate::{deferred, print, smp, time};

/// The heartbeat of a CPU, which other CPUs check.
#[derive(Debug)]
struct HeartbeatState {
    /// The time of the last heartbeat, in nanoseconds; 0 if there are no heartbeats.
    last: AtomicU64,
    /// Whether the CPU has been reported as stuck.
    stuck: AtomicBool,
    /// Heartbeats since deferred work ran, and since one of them interrupted the thread. Only the
    /// CPU itself writes them.
    handlers: AtomicU32,
    thread: AtomicU32,
    /// Whether the CPU has been reported for a soft lockup: stuck in handlers, or not running its
    /// thread.
    soft: AtomicBool,
    /// Whether the deferred work that shows that deferred work runs is pending.
    is_pending: AtomicBool,
}

crate::cpu_local! {
    static HEARTBEAT: HeartbeatState = HeartbeatState {
        last: AtomicU64::new(0),
        stuck: AtomicBool::new(false),
        handlers: AtomicU32::new(0),
        thread: AtomicU32::new(0),
        soft: AtomicBool::new(false),
        is_pending: AtomicBool::new(false),
    };
}

/// Time between two heartbeats, in nanoseconds.
pub const PERIOD: u64 = 250_000_000;

/// Time without a heartbeat after which a CPU counts as stuck, in nanoseconds.
pub const LIMIT: u64 = 2_000_000_000;

/// Time without deferred work after which a CPU's handlers count as stuck, in nanoseconds.
pub const HANDLERS_LIMIT: u64 = 5_000_000_000;

/// Time without its thread after which a CPU's handlers count as running without a pause, in
/// nanoseconds.
pub const THREAD_LIMIT: u64 = 10_000_000_000;

/// The last two limits, in heartbeats.
const LIMITS: HeartbeatCounts = HeartbeatCounts {
    handlers: (HANDLERS_LIMIT / PERIOD) as u32,
    thread: (THREAD_LIMIT / PERIOD) as u32,
};

/// Time that a report of another CPU may take, during which this CPU has no heartbeat, in
/// nanoseconds.
const REPORT_TIME: u64 = 3_000_000_000;

/// The timers of the heartbeats; empty while the watchdog is off.
static TIMERS: IrqMutex<Vec<Timer>> = IrqMutex::new(Vec::new());

/// Starts the watchdog on all online CPUs. Returns their number.
///
/// Context: thread.
///
/// # Errors
///
/// [`TimerError`], if a CPU has no timer for it; then the watchdog is off.
pub fn start() -> Result<usize, TimerError> {
    stop();
    let started = start_all();
    if started.is_err() {
        // CPUs whose heartbeats have begun would be reported as stuck.
        stop();
    }
    started
}

fn start_all() -> Result<usize, TimerError> {
    let mut timers = Vec::new();
    for block in ring_from(0) {
        let mut timer = Timer::on(block.id(), "watchdog", Mode::Interrupt, heartbeat)?;
        // The limits begin now, even if the CPU is stuck already.
        HEARTBEAT.of(block).last.store(now(), Ordering::Relaxed);
        reset_soft(HEARTBEAT.of(block));
        timer.every(PERIOD)?;
        timers.push(timer);
    }
    let watching = timers.len();
    *TIMERS.lock() = timers;
    Ok(watching)
}

/// Stops the watchdog.
///
/// Context: thread.
pub fn stop() {
    let timers = mem::take(&mut *TIMERS.lock());
    drop(timers);
    for block in ring_from(0) {
        HEARTBEAT.of(block).last.store(0, Ordering::Relaxed);
        HEARTBEAT.of(block).stuck.store(false, Ordering::Relaxed);
        reset_soft(HEARTBEAT.of(block));
    }
}

fn reset_soft(state: &HeartbeatState) {
    state.handlers.store(0, Ordering::Relaxed);
    state.thread.store(0, Ordering::Relaxed);
    state.soft.store(false, Ordering::Relaxed);
}

/// The times since each kind of code last ran on a CPU, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct TimesSinceRun {
    /// The number of the CPU.
    pub cpu: u32,
    /// Time since its heartbeat.
    pub interrupts: u64,
    /// Time since it ran deferred work, a multiple of the heartbeat's period.
    pub handlers: u64,
    /// Time since it ran its thread, a multiple of the heartbeat's period.
    pub thread: u64,
}

/// Calls `visit` for each CPU that is watched.
///
/// Context: any but NMI.
pub fn for_each(mut visit: impl FnMut(TimesSinceRun)) {
    for block in ring_from(0) {
        let state = HEARTBEAT.of(block);
        let last = state.last.load(Ordering::Relaxed);
        if last != 0 {
            let time = |counter: &AtomicU32| u64::from(counter.load(Ordering::Relaxed)) * PERIOD;
            visit(TimesSinceRun {
                cpu: block.id(),
                interrupts: now().saturating_sub(last),
                handlers: time(&state.handlers),
                thread: time(&state.thread),
            });
        }
    }
}

/// The current time, which is never 0.
fn now() -> u64 {
    time::nanoseconds().max(1)
}

/// The heartbeat: records the time, and checks the CPUs that follow.
fn heartbeat(_: &Expiry<'_>) {
    let cpu = cpu::current();
    let (now, own) = (now(), cpu.id());
    let last = HEARTBEAT.of(cpu).last.swap(now, Ordering::Relaxed);
    if HEARTBEAT.of(cpu).stuck.swap(false, Ordering::Relaxed) {
        log::warn!(
            "watchdog: CPU {own}: handles interrupts again, after {}",
            Nanoseconds(now.saturating_sub(last))
        );
    }
    count(cpu);
    let others = || ring_from(own).skip(1);
    let heartbeats = others().map(|block| Heartbeat {
        last: HEARTBEAT.of(block).last.load(Ordering::Relaxed),
        is_reported: HEARTBEAT.of(block).stuck.load(Ordering::Relaxed),
    });
    for (index, overdue) in heartbeat::new_lockups(heartbeats, now, LIMIT) {
        let Some(block) = others().nth(index) else {
            continue;
        };
        if !HEARTBEAT.of(block).stuck.swap(true, Ordering::Relaxed) {
            HEARTBEAT.of(cpu).last.store(
                crate::timer::watchdog::now() + REPORT_TIME,
                Ordering::Relaxed,
            );
            report_hard_lockup(block.id(), overdue);
            HEARTBEAT
                .of(cpu)
                .last
                .store(crate::timer::watchdog::now(), Ordering::Relaxed);
        }
    }
    // The CPU checks itself last, when no other CPU is left.
    let all = || others().chain([cpu]);
    let heartbeats = all().map(|block| Heartbeat {
        last: HEARTBEAT.of(block).last.load(Ordering::Relaxed),
        is_reported: false,
    });
    let watched = heartbeat::first_alive(heartbeats, now, LIMIT);
    if let Some(block) = watched.and_then(|index| all().nth(index)) {
        check_soft_lockup(block, own);
    }
}

/// Counts a heartbeat of this CPU, and defers the work that shows that deferred work runs.
fn count(cpu: PerCpu) {
    let state = HEARTBEAT.of(cpu);
    let more = |counter: &AtomicU32| {
        let count = counter.load(Ordering::Relaxed).saturating_add(1);
        counter.store(count, Ordering::Relaxed);
    };
    more(&state.handlers);
    if INTERRUPTS.of(cpu).interrupted().is_none() {
        let before = state.thread.swap(0, Ordering::Relaxed);
        if before >= LIMITS.thread && state.handlers.load(Ordering::Relaxed) < LIMITS.handlers {
            log_recovery(cpu, "its thread", before);
        }
    } else {
        more(&state.thread);
    }
    if !state.is_pending.swap(true, Ordering::Relaxed)
        && deferred::defer(deferred_work_ran, 0).is_err()
    {
        state.is_pending.store(false, Ordering::Relaxed);
    }
}

/// The deferred function that shows that deferred work runs.
extern "C" fn deferred_work_ran(_: usize) {
    let cpu = cpu::current();
    HEARTBEAT.of(cpu).is_pending.store(false, Ordering::Relaxed);
    let before = HEARTBEAT.of(cpu).handlers.swap(0, Ordering::Relaxed);
    if before >= LIMITS.handlers {
        log_recovery(cpu, "deferred work", before);
    }
}

/// Logs that code runs again that had not run for this number of heartbeats.
fn log_recovery(cpu: PerCpu, what: &str, heartbeats: u32) {
    if HEARTBEAT.of(cpu).soft.swap(false, Ordering::Relaxed) {
        log::warn!(
            "watchdog: CPU {}: runs {what} again, after {}",
            cpu.id(),
            Nanoseconds(u64::from(heartbeats) * PERIOD)
        );
    }
}

/// Checks a CPU that has heartbeats, possibly the calling one, for a soft lockup.
fn check_soft_lockup(block: PerCpu, own: u32) {
    let state = HEARTBEAT.of(block);
    let counts = HeartbeatCounts {
        handlers: state.handlers.load(Ordering::Relaxed),
        thread: state.thread.load(Ordering::Relaxed),
    };
    let Some(lockup) = counts.stuck(LIMITS) else {
        return;
    };
    if state.soft.swap(true, Ordering::Relaxed) {
        return;
    }
    let cpu = block.id();
    let (count, missing, cause) = match lockup {
        SoftLockup::Handlers => (
            counts.handlers,
            "deferred work",
            "a handler does not return, or the priority stays raised",
        ),
        SoftLockup::Thread => (counts.thread, "thread", "handlers run without a pause"),
    };
    let time = Nanoseconds(u64::from(count) * PERIOD);
    let problem =
        format_args!("watchdog: CPU {cpu}: soft lockup: no {missing} for {time} ({cause})");
    if cpu != own {
        let state = State(cpu);
        log::error!("{problem}: {state}");
        return print_backtrace(cpu);
    }
    match INTERRUPTS.of(block).interrupted() {
        None => log::error!("{problem}: it runs a thread"),
        Some(vector) => log::error!(
            "{problem}: it is in a handler of class {} (vector {vector})",
            vector.priority_class()
        ),
    }
}

fn report_hard_lockup(stuck: u32, overdue: u64) {
    log::error!(
        "watchdog: CPU {stuck}: hard lockup: no interrupts for {}",
        Nanoseconds(overdue)
    );
    print_backtrace(stuck);
}

fn print_backtrace(stuck: u32) {
    match nmi::backtrace_for_watchdog(stuck) {
        Ok(backtrace) => print!("{backtrace}"),
        Err(error) => log::error!("watchdog: {error}"),
    }
}

/// The online CPUs in a ring, in the order of their numbers, from `first` or the next higher number
/// on.
fn ring_from(first: u32) -> impl Iterator<Item = PerCpu> {
    let online = smp::all();
    let index = online
        .iter()
        .position(|online| online.cpu.id() >= first)
        .unwrap_or(0);
    let (before, after) = online.split_at(index);
    after.iter().chain(before).map(|online| online.cpu)
}
