//! The cases of `timers test`. Each runs on one CPU, in a thread.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::test::{TestContext, Violation, check, note};
use tocsin::ipi::call;
use tocsin::sync::IrqMutex;
use tocsin::timer::{self, CAPACITY, Expiry, Mode, Timer, TimerError};
use tocsin::{cpu, deferred, priority, smp, time};

/// The modes in which a timer function can run.
const MODES: [Mode; 2] = [Mode::Interrupt, Mode::Deferred];

/// Increments a counter in a function that another thread waits for.
fn add(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Release);
}

fn get(count: &AtomicU64) -> u64 {
    count.load(Ordering::Acquire)
}

/// Returns a timer, or records that its creation failed.
fn make<F>(cpu: u32, mode: Mode, function: F) -> Option<Timer>
where
    F: FnMut(&Expiry<'_>) + Send + 'static,
{
    started(Timer::on(cpu, "test", mode, function))
}

fn started<T>(result: Result<T, TimerError>) -> Option<T> {
    check(result.is_ok(), Violation::Refused);
    result.ok()
}

/// The number of rounds of a case that runs on all CPUs at once: `most`, or fewer if there are many
/// CPUs, which may share a host CPU.
fn rounds(most: u64) -> u64 {
    let cpus = smp::all().len() as u64;
    (most * 4 / cpus).clamp(most.min(6), most)
}

/// Returns the CPU at `distance` after this one in the list, which wraps around.
fn neighbour(cpu: u32, distance: usize) -> u32 {
    let online = smp::all();
    let own = online.iter().position(|online| online.cpu.id() == cpu);
    let index = (own.unwrap_or(0) + distance) % online.len().max(1);
    online.get(index).map_or(cpu, |online| online.cpu.id())
}

/// Many timers with deadlines in random order, many of them equal. Some are cancelled before any
/// fires, some while timers fire. Each timer that was not cancelled fires once.
pub(super) fn scattered(test: &TestContext) {
    const TIMERS: u64 = 200;
    const SPREAD: u64 = 300;
    const STEP: u64 = 100_000;
    let last = Arc::new(IrqMutex::new((0, 0)));
    let counts: Arc<[AtomicU64]> = (0..TIMERS).map(|_| AtomicU64::new(0)).collect();
    let mut all = Vec::new();
    for index in 0..TIMERS {
        let (last, counts, cpu) = (Arc::clone(&last), Arc::clone(&counts), test.cpu);
        let timer = make(cpu, Mode::Interrupt, move |expiry| {
            let deadline = expiry.deadline();
            check(time::nanoseconds() >= deadline, Violation::Early);
            check(cpu::current().id() == cpu, Violation::OtherCpu);
            let mut last = last.lock();
            // The timers were started in the order of their indices.
            check(*last < (deadline, index + 1), Violation::OutOfOrder);
            *last = (deadline, index + 1);
            add(&counts[index as usize]);
        });
        all.extend(timer);
    }
    // No timer may fire before all are started. Otherwise one could be started after a later one
    // had fired.
    let raised = priority::raise(timer::CLASS);
    let begin = time::nanoseconds();
    for timer in &mut all {
        started(timer.at(begin + test.random(SPREAD) * STEP));
    }
    let mut cancelled = Vec::new();
    for index in (0..all.len()).step_by(7) {
        check(all[index].cancel(), Violation::AfterCancel);
        cancelled.push(index);
    }
    drop(raised);
    for index in (3..all.len()).step_by(7) {
        time::spin_for(test.random(STEP));
        if all[index].cancel() {
            cancelled.push(index);
        }
    }
    let fired = || counts.iter().map(get).sum::<u64>();
    test.wait_for(|| fired() >= TIMERS - cancelled.len() as u64);
    drop(all);
    for index in &cancelled {
        check(get(&counts[*index]) == 0, Violation::AfterCancel);
    }
    check(counts.iter().all(|count| get(count) <= 1), Violation::Twice);
    check(Arc::strong_count(&counts) == 1, Violation::NotFreed);
    test.count(TIMERS, fired() + cancelled.len() as u64);
}

/// The record of a periodic timer.
#[derive(Default)]
struct Periods {
    first: AtomicU64,
    last: AtomicU64,
    fired: AtomicU64,
    /// The number of periods for which it was called or which it reported as missed.
    passed: AtomicU64,
}

/// Periodic timers, until each has fired several times. Each deadline is a whole number of periods
/// after the first, which must equal the number of reported periods.
pub(super) fn periodic(test: &TestContext) {
    let often = rounds(20);
    for mode in MODES {
        let period = 300_000 + test.random(700_000);
        let seen = Arc::new(Periods::default());
        let inside = Arc::clone(&seen);
        let Some(mut timer) = make(test.cpu, mode, move |expiry| {
            let deadline = expiry.deadline();
            check(time::nanoseconds() >= deadline, Violation::Early);
            if get(&inside.fired) == 0 {
                inside.first.store(deadline, Ordering::Relaxed);
            }
            let since = deadline - get(&inside.first);
            check(since.is_multiple_of(period), Violation::Drift);
            // In deferred mode, `missed` counts the periods before this deadline; in interrupt
            // mode, it counts those after it.
            if mode == Mode::Interrupt {
                check(since == get(&inside.passed) * period, Violation::Drift);
            }
            inside.last.store(deadline, Ordering::Relaxed);
            inside
                .passed
                .fetch_add(1 + expiry.missed(), Ordering::Relaxed);
            add(&inside.fired);
        }) else {
            continue;
        };
        started(timer.every(period));
        test.wait_for(|| get(&seen.fired) >= often);
        check(timer.cancel(), Violation::AfterCancel);
        let counted = timer.fired() + timer.missed();
        drop(timer);
        check(Arc::strong_count(&seen) == 1, Violation::NotFreed);
        let least = (get(&seen.last) - get(&seen.first)) / period + 1;
        check(get(&seen.passed) >= least, Violation::Drift);
        test.count(counted, get(&seen.passed));
    }
}

/// Timers of the next three CPUs, some of them cancelled, in both modes.
pub(super) fn elsewhere(test: &TestContext) {
    let number = rounds(24);
    let counts: Arc<[AtomicU64]> = (0..number).map(|_| AtomicU64::new(0)).collect();
    let mut all = Vec::new();
    let mut cancelled = 0;
    for index in 0..number {
        let cpu = neighbour(test.cpu, 1 + index as usize % 3);
        let inside = Arc::clone(&counts);
        let mode = MODES[index as usize / 3 % 2];
        let Some(mut timer) = make(cpu, mode, move |expiry| {
            check(time::nanoseconds() >= expiry.deadline(), Violation::Early);
            check(cpu::current().id() == cpu, Violation::OtherCpu);
            add(&inside[index as usize]);
        }) else {
            continue;
        };
        // The second start replaces the first.
        started(timer.after(1_000_000_000_000));
        started(timer.after(test.random(2_000_000)));
        if index % 4 == 0 {
            time::spin_for(test.random(1_500_000));
            if timer.cancel() {
                cancelled += 1;
                let fired = counts[index as usize].swap(CANCELLED, Ordering::AcqRel);
                check(fired == 0, Violation::AfterCancel);
            }
        }
        all.push(timer);
    }
    let fired = || counts.iter().filter(|count| get(count) == 1).count() as u64;
    test.wait_for(|| fired() + cancelled >= number);
    drop(all);
    for count in &*counts {
        check(get(count) <= CANCELLED, Violation::AfterCancel);
        check(get(count) == CANCELLED || get(count) <= 1, Violation::Twice);
    }
    check(Arc::strong_count(&counts) == 1, Violation::NotFreed);
    test.count(number, fired() + cancelled);
}

/// The count of a cancelled timer, which exceeds that of any timer that fires.
const CANCELLED: u64 = 1 << 32;

/// Drops timers of the next CPU while they fire. After the drop, the function does not run and is
/// freed.
pub(super) fn dropped_while_firing(test: &TestContext) {
    let cpu = neighbour(test.cpu, 1);
    for round in 0..rounds(60) {
        let calls = Arc::new((AtomicBool::new(false), AtomicU64::new(0)));
        let inside = Arc::clone(&calls);
        let Some(mut timer) = make(cpu, MODES[round as usize % 2], move |expiry| {
            inside.0.store(true, Ordering::Relaxed);
            time::spin_for(20_000);
            if round % 3 == 0 {
                expiry.after(300_000);
            }
            add(&inside.1);
            inside.0.store(false, Ordering::Release);
        }) else {
            continue;
        };
        if round % 3 == 1 {
            started(timer.every(400_000));
        } else {
            started(timer.after(test.random(200_000)));
        }
        if round % 4 < 2 {
            time::spin_for(test.random(600_000));
        } else {
            // In the middle of a call, or immediately after it.
            test.wait_for(|| calls.0.load(Ordering::Acquire) || get(&calls.1) > 0);
        }
        drop(timer);
        let is_inside = calls.0.load(Ordering::Acquire);
        let before = get(&calls.1);
        check(!is_inside, Violation::AfterDrop);
        time::spin_for(50_000);
        test.count(before, get(&calls.1));
        check(!calls.0.load(Ordering::Acquire), Violation::AfterDrop);
        // A pending function of another CPU is freed where it would have run.
        test.wait_for(|| Arc::strong_count(&calls) == 1);
        check(Arc::strong_count(&calls) == 1, Violation::NotFreed);
    }
}

/// A function that restarts its own timer repeatedly, then stops, while another timer has a distant
/// deadline.
pub(super) fn restarted_inside(test: &TestContext) {
    let often = rounds(50);
    let Some(mut far) = make(test.cpu, Mode::Interrupt, |_| note(Violation::Early)) else {
        return;
    };
    started(far.after(FAR));
    for mode in MODES {
        let count = Arc::new(AtomicU64::new(0));
        let inside = Arc::clone(&count);
        let mut deadline = 0;
        let Some(mut timer) = make(test.cpu, mode, move |expiry| {
            check(expiry.deadline() > deadline, Violation::OutOfOrder);
            deadline = expiry.deadline();
            check(time::nanoseconds() >= deadline, Violation::Early);
            add(&inside);
            match get(&inside) {
                count if count == often => expiry.stop(),
                count if count % 2 == 0 => expiry.at(deadline + 1),
                _ => expiry.after(20_000),
            }
        }) else {
            continue;
        };
        started(timer.after(0));
        test.wait_for(|| get(&count) >= often);
        time::spin_for(100_000);
        check(!timer.cancel(), Violation::AfterCancel);
        test.count(often, get(&count));
    }
    check(far.cancel(), Violation::AfterCancel);
}

/// A time that exceeds the duration of a test, in nanoseconds.
const FAR: u64 = 3_600_000_000_000;

/// A function that drops its own timer: it runs to completion, and is freed then.
pub(super) fn dropped_inside(test: &TestContext) {
    for round in 0..rounds(10) {
        let slot = Arc::new(IrqMutex::new(None::<Timer>));
        let calls = Arc::new(AtomicU64::new(0));
        let inside = (Arc::clone(&slot), Arc::clone(&calls));
        let Some(mut timer) = make(test.cpu, MODES[round as usize % 2], move |expiry| {
            let timer = inside.0.lock().take();
            drop(timer);
            // Has no effect after the drop.
            expiry.after(0);
            add(&inside.1);
        }) else {
            continue;
        };
        // The timer must not fire before it is stored where the function looks for it.
        let raised = priority::raise(timer::CLASS);
        started(timer.every(timer::SHORTEST_PERIOD));
        *slot.lock() = Some(timer);
        drop(raised);
        test.wait_for(|| Arc::strong_count(&calls) == 1);
        check(Arc::strong_count(&calls) == 1, Violation::NotFreed);
        test.count(1, get(&calls));
    }
}

/// The target of the handlers: a timer, and the number of times it has fired.
type Target = (IrqMutex<Option<Timer>>, AtomicU64);

/// Starts the timer, as a call (class 13) or deferred work (class 2).
extern "C" fn start(target: usize) {
    // SAFETY: The caller keeps the target alive until the timer has fired.
    let target = unsafe { &*(target as *const Target) };
    match target.0.lock().as_mut() {
        Some(timer) => check(timer.after(10_000).is_ok(), Violation::Refused),
        None => note(Violation::Refused),
    }
}

/// Timers of this CPU and of the next that handlers of classes 2 and 13 start.
pub(super) fn from_handlers(test: &TestContext) {
    let rounds = rounds(40);
    for distance in [0, 1] {
        let target: Arc<Target> = Arc::new((IrqMutex::new(None), AtomicU64::new(0)));
        let inside = Arc::clone(&target);
        let cpu = neighbour(test.cpu, distance);
        let timer = make(cpu, Mode::Interrupt, move |_| add(&inside.1));
        *target.0.lock() = timer;
        let argument = Arc::as_ptr(&target) as usize;
        for round in 0..rounds {
            if round % 2 == 0 {
                check(deferred::defer(start, argument).is_ok(), Violation::Refused);
            } else {
                check(
                    call::post(test.cpu, start, argument).is_ok(),
                    Violation::Refused,
                );
            }
            test.wait_for(|| get(&target.1) > round);
        }
        let timer = target.0.lock().take();
        drop(timer);
        test.count(rounds, get(&target.1));
    }
}

/// A timer whose function starts another timer, of the next CPU. Both functions run in class 14,
/// and each CPU waits for the next.
pub(super) fn from_a_function(test: &TestContext) {
    let rounds = rounds(20);
    let count = Arc::new(AtomicU64::new(0));
    let inside = Arc::clone(&count);
    let other = make(neighbour(test.cpu, 1), Mode::Interrupt, move |_| {
        add(&inside);
    });
    let Some(mut other) = other else { return };
    let function = move |expiry: &Expiry<'_>| {
        started(other.after(1_000_000));
        // Waits for the reply of the other CPU.
        other.cancel();
        started(other.after(5_000));
        expiry.after(200_000);
    };
    let Some(mut timer) = make(test.cpu, Mode::Interrupt, function) else {
        return;
    };
    started(timer.after(0));
    test.wait_for(|| get(&count) >= rounds);
    drop(timer);
    test.count(rounds, get(&count).min(rounds));
    check(Arc::strong_count(&count) == 1, Violation::NotFreed);
}

/// All timer slots of this CPU: the creation of one more timer fails, and all timers fire.
pub(super) fn full(test: &TestContext) {
    let count = Arc::new(AtomicU64::new(0));
    let new = || {
        let inside = Arc::clone(&count);
        Timer::on(test.cpu, "test", Mode::Interrupt, move |_| add(&inside))
    };
    let mut taken = 0;
    timer::for_each_of(test.cpu, |_| taken += 1);
    let mut all: Vec<Timer> = Vec::new();
    while let Ok(timer) = new() {
        all.push(timer);
    }
    check(
        new().is_err_and(|error| error == TimerError::Full(test.cpu)),
        Violation::Refused,
    );
    for timer in &mut all {
        started(timer.after(test.random(1_000_000)));
    }
    test.wait_for(|| get(&count) >= all.len() as u64);
    all.truncate(1);
    check(new().is_ok(), Violation::Refused);
    test.count(CAPACITY as u64 - taken, get(&count));
}
