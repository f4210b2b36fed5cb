//! Programs that could deadlock. Each either completes, with `NAME: passed`, or is rejected with a
//! message that names the rule. `APPEND=NAME` selects one; `tests/boot/deadlocks.rs` has the
//! expected results.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "deadlocks/givers.rs"]
mod givers;
#[path = "deadlocks/jobs.rs"]
mod jobs;
#[path = "deadlocks/locks.rs"]
mod locks;
#[path = "deadlocks/timers.rs"]
mod timers;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};

use tocsin::cpu::current;
use tocsin::ipi::jobs::Job;
use tocsin::ipi::{Targets, call};
use tocsin::line::{Claim, Line, Request, SharedHandler, SharedLine, Source};
use tocsin::priority::{self, CeilingMutex, raise};
use tocsin::sync::{IrqMutex, without_interrupts};
use tocsin::timer::{Expiry, Mode, Timer};
use tocsin::{println, time};
use tocsin_logic::vector::PriorityClass;

use givers::begin;

tocsin::main!(kernel);

const SECOND: u64 = 1_000_000_000;

const C3: PriorityClass = PriorityClass::new(3).unwrap();
const C6: PriorityClass = PriorityClass::new(6).unwrap();
const C9: PriorityClass = PriorityClass::new(9).unwrap();

/// The programs, by name.
const PROGRAMS: [(&str, fn()); 34] = [
    ("cancel", timers::cancel),
    ("mutual", mutual),
    ("timer-drop", timers::drop_under_lock),
    ("timer-drop-notified", timers::drop_with_notification),
    ("timer-full", timers::full),
    ("timer-renew", timers::renew),
    ("timer-first", timers::first_in_handler),
    ("job-waiting", jobs::give_while_one_waits),
    ("job-handler", jobs::give_in_handler),
    ("job-keeps-lock", jobs::keep_lock),
    ("job-keeps-own-lock", jobs::keep_own_lock),
    ("job-keeps-priority", jobs::keep_priority),
    ("call-in-call", call_in_call),
    ("call-in-served", call_in_served),
    ("call-in-timer", call_in_timer),
    ("call-raised", call_raised),
    ("call-locked", call_locked),
    ("served-ceiling", served_ceiling),
    ("timer-raised", timer_raised),
    ("ceiling-off", ceiling_off),
    ("ceiling-above", ceiling_above),
    ("ceiling-order", locks::ceiling_order),
    ("ceiling-raised", locks::ceiling_raised),
    ("ceiling-twice", locks::ceiling_twice),
    ("order", order),
    ("handover", handover),
    ("mutex-order", mutex_order),
    ("mutex-section", locks::mutex_section),
    ("mutex-twice", mutex_twice),
    ("line-drop-self", line_drop_self),
    ("line-move-self", line_move_self),
    ("line-forget", line_forget),
    ("shared-handler-drop-self", shared_handler_drop_self),
    ("long-wait", long_wait),
];

fn kernel(machine: &'static tocsin::Machine) -> ! {
    let asked = machine.boot.command_line.as_str();
    for (name, program) in PROGRAMS {
        if asked.split(' ').any(|word| word == name) {
            println!("{name}: begins");
            if givers::PROGRAMS.contains(&name) {
                givers::run(program);
            } else {
                program();
            }
            println!("{name}: passed");
        }
    }
    tocsin::hw::power::power_off(0)
}

/// A job that does nothing: when it is done, the CPU's thread has run.
const NOTHING: Job = Job {
    function: |_| (),
    argument: 0,
};

fn request(name: &'static str, class: PriorityClass, cpu: u32) -> Request {
    Request {
        name,
        source: Source::Message,
        class,
        cpu,
    }
}

fn reached(step: &AtomicU32, at_least: u32) -> bool {
    time::wait_until(20 * SECOND, || step.load(SeqCst) >= at_least)
}

/// A timer's function on CPU 1 cancels and drops a timer of CPU 2, which calls CPU 1 with
/// interrupts disabled.
fn mutual() {
    static REMOTE: IrqMutex<Option<Timer>> = IrqMutex::new(None);
    static STEP: AtomicU32 = AtomicU32::new(0);
    static ENDS: AtomicU32 = AtomicU32::new(0);
    fn caller(_: u64) {
        without_interrupts(|| {
            STEP.store(1, SeqCst);
            reached(&STEP, 2);
            call::run(1, || ()).unwrap();
        });
        ENDS.fetch_add(1, SeqCst);
    }
    let mut remote = Timer::on(2, "remote", Mode::Interrupt, |_| ()).unwrap();
    remote.after(60 * SECOND).unwrap();
    *REMOTE.lock() = Some(remote);
    let mut timer = Timer::on(1, "canceller", Mode::Interrupt, |_| {
        let mut remote = REMOTE.lock().take().unwrap();
        STEP.store(2, SeqCst);
        time::spin_for(1_000_000);
        assert!(remote.cancel());
        drop(remote);
        ENDS.fetch_add(1, SeqCst);
    })
    .unwrap();
    begin(2, caller);
    assert!(reached(&STEP, 1));
    timer.after(0).unwrap();
    assert!(reached(&ENDS, 2), "they wait for each other");
}

/// A called function waits for a call.
fn call_in_call() {
    call::run(Targets::Others, || {
        if current().id() == 1 {
            call::run(2, || ()).unwrap();
        }
    })
    .unwrap();
}

/// The same, where the function runs in the wait loop of a CPU with interrupts disabled.
fn call_in_served() {
    static STEP: AtomicU32 = AtomicU32::new(0);
    fn waiter(_: u64) {
        without_interrupts(|| {
            STEP.store(1, SeqCst);
            call::run(2, || time::spin_for(2 * SECOND)).unwrap();
        });
    }
    begin(1, waiter);
    assert!(reached(&STEP, 1));
    call::run(Targets::Others, || {
        if current().id() == 1 {
            call::run(0, || ()).unwrap();
        }
    })
    .unwrap();
}

/// A timer's function waits for a call.
fn call_in_timer() {
    let function = |_: &Expiry<'_>| call::run(2, || ()).unwrap();
    let mut timer = Timer::on(1, "caller", Mode::Interrupt, function).unwrap();
    timer.after(0).unwrap();
    time::wait_until(20 * SECOND, || timer.fired() > 0);
}

/// A thread above the class of calls waits for one.
fn call_raised() {
    let _raised = raise(call::CLASS);
    call::run(1, || ()).unwrap();
}

/// A thread that holds an `IrqMutex` waits for a call.
fn call_locked() {
    static LOCK: IrqMutex<()> = IrqMutex::new(());
    let _guard = LOCK.lock();
    call::run(1, || ()).unwrap();
}

/// A called function takes a lock of its class in the wait loop of a CPU with interrupts disabled.
fn served_ceiling() {
    static LOCK: CeilingMutex<u32> = CeilingMutex::new(call::CLASS, 0);
    static STEP: AtomicU32 = AtomicU32::new(0);
    fn waiter(_: u64) {
        without_interrupts(|| {
            STEP.store(1, SeqCst);
            call::run(2, || time::spin_for(SECOND)).unwrap();
        });
        STEP.store(2, SeqCst);
    }
    begin(1, waiter);
    assert!(reached(&STEP, 1));
    for _ in 0..100 {
        call::run(1, || *LOCK.lock() += 1).unwrap();
    }
    without_interrupts(|| call::run(Targets::All, || *LOCK.lock() += 1).unwrap());
    assert!(reached(&STEP, 2));
    assert_eq!(*LOCK.lock(), 100 + tocsin::smp::all().len() as u32);
}

/// A thread above the timers' class uses a timer.
fn timer_raised() {
    let mut timer = Timer::new("raised", Mode::Interrupt, |_| ()).unwrap();
    let _raised = raise(PriorityClass::HIGHEST);
    timer.after(0).unwrap();
}

/// A ceiling lock is taken with interrupts disabled.
fn ceiling_off() {
    static LOCK: CeilingMutex<()> = CeilingMutex::new(C6, ());
    without_interrupts(|| drop(LOCK.lock()));
}

/// A handler takes a lock whose ceiling is below it.
fn ceiling_above() {
    static LOCK: CeilingMutex<()> = CeilingMutex::new(C3, ());
    let line = Line::new(request("above", C6, 0), || drop(LOCK.lock())).unwrap();
    line.trigger().unwrap();
    time::spin_for(SECOND);
}

/// Raised priorities that end in every order, while interrupts are pending.
fn order() {
    static HITS: AtomicU64 = AtomicU64::new(0);
    let line = Line::new(request("six", C6, 0), || {
        HITS.fetch_add(1, SeqCst);
    })
    .unwrap();
    let classes = [C3, C9, C6];
    for [first, second, third] in [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ] {
        let hits = HITS.load(SeqCst);
        let mut guards = classes.map(|class| Some(raise(class)));
        line.trigger().unwrap();
        for gone in [first, second, third] {
            guards[gone] = None;
            let left = guards.iter().zip(classes);
            let highest = left
                .filter_map(|(guard, class)| guard.as_ref().map(|_| class))
                .max();
            let highest = highest.unwrap_or(PriorityClass::LOWEST);
            assert_eq!(priority::current(), highest);
            time::spin_for(1_000_000);
            assert_eq!(HITS.load(SeqCst) - hits, u64::from(highest < C6));
        }
    }
}

/// Lock coupling, from a lower ceiling to a higher one, against handlers that take the higher lock.
fn handover() {
    static A: CeilingMutex<u64> = CeilingMutex::new(C3, 1);
    static B: CeilingMutex<u64> = CeilingMutex::new(C6, 0);
    let lines = [0, 1].map(|cpu| Line::new(request("b", C6, cpu), || *B.lock() += 1).unwrap());
    for round in 1..=1_000 {
        let a = A.lock();
        let mut b = B.lock();
        drop(a);
        for line in &lines {
            line.trigger().unwrap();
        }
        *b += 1;
        drop(b);
        assert_eq!(priority::current(), PriorityClass::LOWEST);
        let all = || lines.iter().all(|line| line.counts().claimed == round);
        assert!(time::wait_until(20 * SECOND, all));
    }
    assert_eq!(*B.lock(), 3_000);
}

/// Guards of `IrqMutex`es that are dropped in the order in which they were made, also outside a
/// section.
fn mutex_order() {
    let are_enabled = || without_interrupts_are_enabled();
    let (first, second) = (IrqMutex::new(()), IrqMutex::new(()));
    let one = first.lock();
    let two = second.lock();
    drop(one);
    assert!(!are_enabled(), "enabled with a lock held");
    drop(two);
    assert!(are_enabled());
    let left = without_interrupts(|| first.lock());
    assert!(!are_enabled(), "enabled with a lock held");
    drop(left);
    assert!(are_enabled());
}

/// Whether interrupts are enabled: this CPU takes a self-IPI immediately.
fn without_interrupts_are_enabled() -> bool {
    static COME: AtomicBool = AtomicBool::new(false);
    extern "C" fn come(_: usize) {
        COME.store(true, SeqCst);
    }
    COME.store(false, SeqCst);
    call::post(current().id(), come, 0).unwrap();
    time::wait_until(SECOND / 10, || COME.load(SeqCst))
}

/// An `IrqMutex` is taken twice.
fn mutex_twice() {
    let lock = IrqMutex::new(());
    let _first = lock.lock();
    drop(lock.lock());
}

/// A line that its own handler drops or moves.
static LINE: CeilingMutex<Option<Line>> = CeilingMutex::new(C6, None);

fn with_own_line(act: fn()) {
    let line = Line::new(request("self", C6, 1), act).unwrap();
    *LINE.lock() = Some(line);
    LINE.lock().as_ref().unwrap().trigger().unwrap();
    time::spin_for(5 * SECOND);
}

fn line_drop_self() {
    with_own_line(|| {
        let line = LINE.lock().take();
        drop(line);
    });
}

fn line_move_self() {
    with_own_line(|| {
        let line = LINE.lock().take();
        line.unwrap().move_to(2).unwrap();
    });
}

/// A line of a class that a leaked guard masks.
fn line_forget() {
    core::mem::forget(raise(C6));
    let line = Line::new(request("masked", C6, 0), || ()).unwrap();
    line.trigger().unwrap();
    drop(line);
}

/// A shared handler is dropped at the class of its own line, as its own handler would do.
fn shared_handler_drop_self() {
    static SHARED_HANDLER: IrqMutex<Option<SharedHandler>> = IrqMutex::new(None);
    // A level-triggered input without a device: making the line needs no interrupt.
    let request = Request {
        name: "shared",
        source: Source::Gsi {
            gsi: tocsin_logic::acpi::Gsi(16),
            mode: None,
        },
        class: C6,
        cpu: 0,
    };
    let shared = SharedLine::new(request).unwrap();
    let other = Box::leak(Box::new(shared.add_handler(|| Claim::Claimed)));
    *SHARED_HANDLER.lock() = Some(shared.add_handler(|| Claim::Unclaimed));
    // Runs at the class at which the handlers run and hold the list.
    let _raised = raise(C6);
    let shared_handler = SHARED_HANDLER.lock().take();
    let _ = other;
    drop(shared_handler);
}

/// A long wait is logged, with its object and its cause.
fn long_wait() {
    static STEP: AtomicU32 = AtomicU32::new(0);
    fn busy(_: u64) {
        without_interrupts(|| {
            STEP.store(1, SeqCst);
            // Measured in this CPU's running time, as the other CPU's timeout is.
            time::wait_until(8 * SECOND, || false);
        });
        STEP.store(2, SeqCst);
    }
    begin(1, busy);
    assert!(reached(&STEP, 1));
    call::run(1, || ()).unwrap();
}
