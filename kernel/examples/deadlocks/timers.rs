//! Timers that are started, cancelled and dropped by another CPU, or while their function runs.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

use tocsin::ipi::jobs;
use tocsin::line::Line;
use tocsin::priority::{CeilingMutex, raise};
use tocsin::smp::find;
use tocsin::sync::{IrqMutex, without_interrupts};
use tocsin::time;
use tocsin::timer::{CAPACITY, CLASS, Mode, Timer, TimerError, for_each_of};
use tocsin::trap::stack_use::StackUse;

use crate::{C6, NOTHING, SECOND, begin, reached, request};

struct Shared {
    timer: Option<Timer>,
    count: u64,
}

/// A timer whose function takes a lock under which another CPU cancels and starts the timer.
pub fn cancel() {
    static STATE: CeilingMutex<Shared> = CeilingMutex::new(
        CLASS,
        Shared {
            timer: None,
            count: 0,
        },
    );
    let timer = Timer::on(1, "retry", Mode::Interrupt, |_| STATE.lock().count += 1).unwrap();
    STATE.lock().timer = Some(timer);
    for round in 0..20_000_u64 {
        let mut state = STATE.lock();
        let timer = state.timer.as_mut().unwrap();
        timer.cancel();
        timer.after(round % 40 * 500).unwrap();
        drop(state);
        time::spin_for(round % 7 * 1_000);
    }
    // The last start is not lost.
    let before = STATE.lock().count;
    STATE
        .lock()
        .timer
        .as_mut()
        .unwrap()
        .after(50_000_000)
        .unwrap();
    let fired = || {
        let state = STATE.lock();
        state.count > before && state.timer.as_ref().unwrap().fired() > before
    };
    assert!(time::wait_until(20 * SECOND, fired), "the start was lost");
    // A cancel is not lost either: the timer does not fire after it.
    let mut state = STATE.lock();
    let timer = state.timer.as_mut().unwrap();
    timer.after(20_000_000).unwrap();
    assert!(timer.cancel());
    let count = state.count;
    drop(state);
    time::spin_for(60_000_000);
    assert_eq!(STATE.lock().count, count, "fired after it was cancelled");
}

/// A timer is dropped under a lock for which its function waits.
pub fn drop_under_lock() {
    static LOCK: CeilingMutex<()> = CeilingMutex::new(CLASS, ());
    static STEP: AtomicU32 = AtomicU32::new(0);
    for mode in [Mode::Interrupt, Mode::Deferred] {
        STEP.store(0, SeqCst);
        let mut timer = Timer::on(1, "dropped", mode, |_| {
            STEP.store(1, SeqCst);
            drop(LOCK.lock());
            STEP.store(2, SeqCst);
        })
        .unwrap();
        let guard = LOCK.lock();
        timer.after(0).unwrap();
        assert!(reached(&STEP, 1));
        drop(timer);
        drop(guard);
        assert!(reached(&STEP, 2));
    }
    // In a thread that holds no lock, the drop waits for the function to return.
    for mode in [Mode::Interrupt, Mode::Deferred] {
        STEP.store(0, SeqCst);
        let mut timer = Timer::on(1, "waited for", mode, |_| {
            STEP.store(1, SeqCst);
            time::spin_for(50_000_000);
            STEP.store(2, SeqCst);
        })
        .unwrap();
        timer.after(0).unwrap();
        assert!(reached(&STEP, 1));
        drop(timer);
        assert_eq!(STEP.load(SeqCst), 2);
    }
}

/// A timer is dropped on its own CPU, before that CPU has handled the notification of a command
/// from another one. The notification refers to the timer, so its function is freed once, after
/// that.
pub fn drop_with_notification() {
    static TIMER: IrqMutex<Option<Timer>> = IrqMutex::new(None);
    static STEP: AtomicU32 = AtomicU32::new(0);
    static FREED: AtomicU32 = AtomicU32::new(0);
    struct Owned;
    impl Drop for Owned {
        fn drop(&mut self) {
            FREED.fetch_add(1, SeqCst);
        }
    }
    fn owner(_: u64) {
        // Notifications are masked here.
        let raised = raise(CLASS);
        STEP.store(1, SeqCst);
        assert!(reached(&STEP, 2));
        let timer = TIMER.lock().take().unwrap();
        drop(timer);
        assert_eq!(FREED.load(SeqCst), 0, "freed with a notification");
        drop(raised);
        STEP.store(3, SeqCst);
    }
    for mode in [Mode::Interrupt, Mode::Deferred] {
        STEP.store(0, SeqCst);
        FREED.store(0, SeqCst);
        let owned = Owned;
        let mut timer = Timer::on(1, "dropped", mode, move |_| {
            let _ = &owned;
            STEP.store(4, SeqCst);
        })
        .unwrap();
        begin(1, owner);
        assert!(reached(&STEP, 1));
        timer.after(0).unwrap();
        // Overwrites the first command.
        timer.after(0).unwrap();
        *TIMER.lock() = Some(timer);
        STEP.store(2, SeqCst);
        assert!(reached(&STEP, 3));
        assert!(reached(&FREED, 1), "not freed");
        // The thread of CPU 1 runs when all handlers and deferred work have.
        let idle = || jobs::run_on(1, NOTHING).is_ok();
        assert!(time::wait_until(20 * SECOND, idle));
        assert_eq!(FREED.load(SeqCst), 1, "freed twice");
        assert_eq!(STEP.load(SeqCst), 3, "called after the drop");
    }
}

/// The timers of CPU 1 that have a deadline in its queue.
fn queued() -> usize {
    let mut count = 0;
    for_each_of(1, |row| count += usize::from(row.next.is_some()));
    count
}

/// A CPU has the maximum number of timers, and one of them is dropped while the CPU handles no
/// commands. A slot for a further timer is free only after that timer has been removed from the
/// queue, which has as many entries as there are slots.
pub fn full() {
    static STEP: AtomicU32 = AtomicU32::new(0);
    static FIRED: AtomicBool = AtomicBool::new(false);
    fn busy(_: u64) {
        let _raised = raise(CLASS);
        STEP.store(1, SeqCst);
        assert!(reached(&STEP, 2));
    }
    let make = || {
        Timer::on(1, "one of many", Mode::Interrupt, |_| {
            FIRED.store(true, SeqCst);
        })
    };
    let others = queued();
    let mut timers = Vec::new();
    let error = loop {
        match make() {
            Ok(timer) => timers.push(timer),
            Err(error) => break error,
        }
    };
    assert_eq!(error, TimerError::Full(1));
    for timer in &mut timers {
        timer.after(3_600 * SECOND).unwrap();
    }
    let all = others + timers.len();
    assert!(time::wait_until(20 * SECOND, || queued() == all));
    begin(1, busy);
    assert!(reached(&STEP, 1));
    // Without waiting for CPU 1.
    without_interrupts(|| drop(timers.pop()));
    let early = make();
    let is_full = matches!(early, Err(TimerError::Full(1)));
    assert!(is_full, "two timers in one place");
    STEP.store(2, SeqCst);
    let has_place = || {
        let mut taken = 0;
        for_each_of(1, |_| taken += 1);
        taken < CAPACITY
    };
    assert!(
        time::wait_until(20 * SECOND, has_place),
        "the place is lost"
    );
    let mut next = make().unwrap();
    assert_eq!(queued(), all - 1);
    next.after(0).unwrap();
    let fired = || FIRED.load(SeqCst);
    assert!(time::wait_until(20 * SECOND, fired), "the start was lost");
    assert_eq!(queued(), all - 1);
}

/// The function of a deferred timer sets its next time after the timer has fired again: it is
/// called at that time, and not at once.
pub fn renew() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static EXPIRY: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];
    const NAME: &str = "renewed";
    fn missed() -> u64 {
        let mut missed = 0;
        for_each_of(1, |row| {
            if row.name == NAME {
                missed = row.missed;
            }
        });
        missed
    }
    let mut timer = Timer::on(1, NAME, Mode::Deferred, |expiry| {
        if CALLS.load(SeqCst) == 0 {
            // A missed period means that the timer has fired at least twice.
            let before = missed();
            assert!(time::wait_until(20 * SECOND, || missed() > before));
            NEXT.store(time::nanoseconds() + SECOND / 2, SeqCst);
            expiry.at(NEXT.load(SeqCst));
        } else {
            EXPIRY[0].store(expiry.deadline(), SeqCst);
            EXPIRY[1].store(expiry.missed(), SeqCst);
        }
        CALLS.fetch_add(1, SeqCst);
    })
    .unwrap();
    timer.every(1_000_000).unwrap();
    assert!(reached(&CALLS, 2), "the start was lost");
    let expiry = EXPIRY.each_ref().map(|word| word.load(SeqCst));
    assert_eq!(expiry, [NEXT.load(SeqCst), 0], "called early");
    drop(timer);
    assert_eq!(CALLS.load(SeqCst), 2, "called again");
}

/// The first timer of a CPU is created in a handler, whose stack must have room for it.
pub fn first_in_handler() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    let make = || {
        let timer = Timer::new("first", Mode::Interrupt, |_| ()).unwrap();
        drop(timer);
        MADE.store(1, SeqCst);
    };
    let line = Line::new(request("first", C6, 1), make).unwrap();
    line.trigger().unwrap();
    assert!(reached(&MADE, 1));
    drop(line);
    let cpu = find(1).unwrap().cpu;
    let used = StackUse::of(cpu);
    assert!(!used.exceeds_bound(), "{used:?}");
}
