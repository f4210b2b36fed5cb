//! Runs the cells of the table in `docs/contexts.md` on a real CPU: each operation in each context.
//!
//! ```sh
//! make run BOOT=direct EXAMPLE=contexts APPEND=''                                # every `yes` cell
//! make run BOOT=direct EXAMPLE=contexts APPEND=cell=call-wait/callback   # one cell
//! ```
//!
//! A permitted operation must succeed; a rejected one must end in a panic that names the rule.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tocsin::ipi::jobs::{self, Job};
use tocsin::ipi::{Targets, call, nmi, reschedule};
use tocsin::line::{Line, Request, Source};
use tocsin::priority::{self, CeilingMutex};
use tocsin::sync::{IrqMutex, without_interrupts};
use tocsin::timer::{Mode, Timer};
use tocsin::{deferred, hw, println, time};
use tocsin_logic::vector::PriorityClass;

tocsin::main!(kernel);

/// The page with the table of cells.
const TABLE: &str = include_str!("../../docs/contexts.md");

/// The class of the table's handler, and of its ceilings.
const CLASS: PriorityClass = PriorityClass::new(9).expect("a class is 0 to 15");

/// The target of operations on another CPU.
const OTHER: u32 = 2;

/// Longest time of a permitted operation, in nanoseconds.
const LIMIT: u64 = 60_000_000_000;

/// An operation of the table.
type Operation = fn();

/// The rows, by the names in the table's first column.
const OPERATIONS: &[(&str, Operation)] = &[
    ("allocate", || {
        drop(core::hint::black_box(Box::new([0_u8; 256])));
    }),
    ("print", || println!("printed")),
    ("irq-mutex", || *PLAIN.lock() += 1),
    ("irq-mutex-try", || drop(PLAIN.try_lock())),
    ("ceiling-mutex", || *CEILING.lock() += 1),
    ("raise", || drop(priority::raise(CLASS))),
    ("call-wait", || call::run(OTHER, || ()).expect("online")),
    ("call-post", || {
        call::post(Targets::One(OTHER), nothing, 0).expect("room");
    }),
    ("timer-make", || {
        drop(Timer::new("made", Mode::Interrupt, |_| ()).expect("room"));
    }),
    ("timer-arm", || {
        with(&TIMER, |timer| timer.after(1_000_000_000).expect("armed"));
    }),
    ("timer-arm-other", || {
        with(&REMOTE_TIMER, |timer| {
            timer.after(1_000_000_000).expect("armed");
        });
    }),
    ("timer-cancel", || with(&TIMER, |timer| _ = timer.cancel())),
    ("timer-cancel-other", || {
        with(&REMOTE_TIMER, |timer| _ = timer.cancel());
    }),
    ("line-make", || drop(line("made"))),
    ("line-move", || {
        with(&LINE, |line| {
            line.move_to(if line.cpu() == OTHER { 0 } else { OTHER })
                .expect("moved");
        });
    }),
    ("line-trigger", || {
        with(&LINE, |line| line.trigger().expect("sent"));
    }),
    ("line-mask", || with(&LINE, |line| line.set_masked(false))),
    ("defer", || deferred::defer(nothing, 0).expect("room")),
    ("defer-other", || {
        deferred::defer_on(OTHER, nothing, 0).expect("room");
    }),
    ("job", || {
        let job = Job {
            function: |_| (),
            argument: 0,
        };
        jobs::run_on(OTHER, job).expect("idle");
    }),
    ("reschedule", || reschedule::send(OTHER).expect("online")),
    ("backtrace", || {
        drop(nmi::backtrace_of(OTHER).expect("an answer"));
    }),
];

/// Performs an operation in a context.
type Perform = fn(Operation);

/// The columns, by the names in the table's first line.
const CONTEXTS: &[(&str, Perform)] = &[
    ("thread", |operation| operation()),
    ("IF=0", |operation| without_interrupts(operation)),
    ("ceiling", |operation| {
        let _raised = priority::raise(CLASS);
        operation();
    }),
    ("handler", |operation| {
        run_in(operation, || {
            HANDLER_LINE
                .lock()
                .as_ref()
                .expect("made")
                .trigger()
                .expect("sent");
        });
    }),
    ("callback", |operation| {
        run_in(operation, || {
            CALLBACK
                .lock()
                .as_mut()
                .expect("made")
                .after(0)
                .expect("armed");
        });
    }),
    ("called", |operation| {
        call::run(1, operation).expect("online");
    }),
    ("deferred", |operation| {
        run_in(operation, || {
            deferred::defer(perform_deferred, 0).expect("room");
        });
    }),
    ("NMI", |operation| {
        run_in(operation, || {
            // SAFETY: This is what the cell tests; the operation must be rejected or harmless.
            unsafe { nmi::call(1, perform_deferred, 0) }.expect("online");
        });
    }),
];

static PLAIN: IrqMutex<u32> = IrqMutex::new(0);
static CEILING: CeilingMutex<u32> = CeilingMutex::new(CLASS, 0);
static TIMER: IrqMutex<Option<Timer>> = IrqMutex::new(None);
static REMOTE_TIMER: IrqMutex<Option<Timer>> = IrqMutex::new(None);
static LINE: IrqMutex<Option<Line>> = IrqMutex::new(None);
static CALLBACK: IrqMutex<Option<Timer>> = IrqMutex::new(None);
static HANDLER_LINE: IrqMutex<Option<Line>> = IrqMutex::new(None);

/// The number of the operation that the asynchronous contexts perform.
static OPERATION: AtomicUsize = AtomicUsize::new(0);
static IS_DONE: AtomicBool = AtomicBool::new(false);

extern "C" fn nothing(_: usize) {}

/// Takes a value out of its lock for the duration of `action`, so that the lock is not held during
/// it.
fn with<T>(place: &IrqMutex<Option<T>>, action: impl FnOnce(&mut T)) {
    let taken = place.try_lock().and_then(|mut place| place.take());
    let mut value = taken.expect("one operation at a time");
    action(&mut value);
    *place.try_lock().expect("one operation at a time") = Some(value);
}

fn line(name: &'static str) -> Line {
    let request = Request {
        name,
        source: Source::Message,
        class: CLASS,
        cpu: 0,
    };
    Line::new(request, || ()).expect("vectors are free")
}

/// Makes the context that `start` starts perform `operation`, and waits for its end.
fn run_in(operation: Operation, start: impl FnOnce()) {
    let number = OPERATIONS
        .iter()
        .position(|(_, known)| core::ptr::fn_addr_eq(*known, operation));
    OPERATION.store(
        number.expect("an operation of the table"),
        Ordering::Relaxed,
    );
    IS_DONE.store(false, Ordering::Release);
    start();
    let is_done = time::wait_until(LIMIT, || IS_DONE.load(Ordering::Acquire));
    assert!(is_done, "the operation does not return");
}

fn perform() {
    (OPERATIONS[OPERATION.load(Ordering::Relaxed)].1)();
    IS_DONE.store(true, Ordering::Release);
}

extern "C" fn perform_deferred(_: usize) {
    perform();
}

/// The cells of the table: operation, context, and whether it is permitted.
fn cells() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    let rows = TABLE.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| {
        let mut columns = row.trim_matches('|').split('|').map(str::trim);
        let name = columns.next().unwrap_or_default().trim_matches('`');
        CONTEXTS
            .iter()
            .zip(columns)
            .map(move |((context, _), cell)| (name, *context, cell == "yes"))
    })
}

fn run_cell(operation: &str, context: &str) {
    let operation = OPERATIONS.iter().find(|(name, _)| *name == operation);
    let context = CONTEXTS.iter().find(|(name, _)| *name == context);
    let (Some((name, operation)), Some((place, run))) = (operation, context) else {
        println!("contexts: no such cell");
        hw::power::power_off(1)
    };
    println!("cell {name}/{place}");
    run(*operation);
}

fn kernel(machine: &'static tocsin::Machine) -> ! {
    *TIMER.lock() = Timer::new("own", Mode::Interrupt, |_| ()).ok();
    *REMOTE_TIMER.lock() = Timer::on(OTHER, "remote", Mode::Interrupt, |_| ()).ok();
    *CALLBACK.lock() = Timer::new("callback", Mode::Interrupt, |_| perform()).ok();
    *LINE.lock() = Some(line("shared"));
    let request = Request {
        name: "handler",
        source: Source::Message,
        class: CLASS,
        cpu: 0,
    };
    *HANDLER_LINE.lock() = Line::new(request, perform).ok();

    let mut words = machine.boot.command_line.split_whitespace();
    let wanted = words.find_map(|word| word.strip_prefix("cell="));
    let count = if let Some((operation, context)) = wanted.and_then(|cell| cell.split_once('/')) {
        run_cell(operation, context);
        1
    } else {
        let permitted = cells().filter(|&(_, _, is_permitted)| is_permitted);
        permitted
            .map(|(operation, context, _)| run_cell(operation, context))
            .count()
    };
    println!("{count} cells passed");
    hw::power::power_off(0)
}
