//! Measurements, in cycles of the time-stamp counter.
//!
//! Under QEMU's `-icount shift=0` a cycle is one guest instruction, and the same image gives the same
//! numbers every time.

mod calls;

use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::vector::{PriorityClass, Vector};

use crate::apic::local;
use crate::cpu::{self, interrupts};
use crate::hw::processor::timestamp;
use crate::irq::CeilingMutex;
use crate::irq::timers::{Expiry, Mode, Timer};
use crate::sync::IrqMutex;
use crate::time;

/// Samples of each figure.
const SAMPLES: usize = 10_000;

/// Rounds before the first sample, for caches and for translation under emulation.
const WARM_UP: usize = 1_000;

/// Length of the critical sections under which an urgent interrupt arrives, in cycles.
pub const SECTION: u64 = 20_000;

/// The vector that is measured: class 13, above the ceiling of [`CEILING`].
const URGENT: Vector = Vector(0xd8);

/// A lock of the kind that a driver of class 5 shares with threads.
static CEILING: CeilingMutex<()> = CeilingMutex::new(class(5), ());

/// The same, as most kernels have it: interrupts off while it is held.
static MASKING: IrqMutex<()> = IrqMutex::new(());

/// When the handler of [`URGENT`] last began.
static BEGAN: AtomicU64 = AtomicU64::new(0);

const fn class(number: u8) -> PriorityClass {
    match PriorityClass::new(number) {
        Some(class) => class,
        None => panic!("a priority class is below 16"),
    }
}

/// What one thing costs, in TSC cycles, the cost of measuring taken off.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// Least, median, 99th percentile and greatest.
    pub cycles: [u64; 4],
}

/// Measures everything on this CPU; what reading the counter twice costs comes first. In a thread.
///
/// # Panics
///
/// If the vector that is measured, which belongs to nobody else, has another handler.
#[must_use]
pub fn run() -> (u64, Vec<Figure>) {
    interrupts::register(Vector(interrupts::SOFTWARE), nothing);
    let table = &cpu::current().interrupts;
    let installed = table.install(URGENT, urgent, 0);
    assert!(installed, "the vector that is measured has another handler");
    let [_, overhead, ..] = sample(since(|| {}));
    let mut figures = Vec::new();
    let mut add = |name, cycles: [u64; 4]| {
        figures.push(Figure {
            name,
            cycles: cycles.map(|cycles| cycles.saturating_sub(overhead)),
        });
    };
    // SAFETY: 1. The handler was just registered, and the entry code preserves all registers.
    add(
        "INT n to a handler and back",
        sample(since(|| unsafe {
            asm!("int {}", const interrupts::SOFTWARE);
        })),
    );
    add("self-IPI, sent to handler", sample(|| arrival(|| {})));
    add(
        "self-IPI, sent to handler and back",
        sample(since(|| {
            arrival(|| {});
        })),
    );
    add("class 13 while a thread works", sample(|| arrival(work)));
    add(
        "  ... holding a ceiling lock, class 5",
        sample(|| {
            let held = CEILING.lock();
            let latency = arrival(work);
            drop(held);
            latency
        }),
    );
    add(
        "  ... holding a lock with interrupts off",
        sample(|| {
            let held = MASKING.lock();
            let start = timestamp();
            local().send_to_self(URGENT);
            work();
            drop(held);
            wait_for_arrival(start)
        }),
    );
    table.begin_removal(URGENT);
    // In a thread of the CPU itself, nothing is in service.
    table.end_removal(URGENT);
    if let Some(cycles) = deadline_to_function() {
        add("timer, deadline to its function", cycles);
    }
    calls::run(add);
    (overhead, figures)
}

/// Sends the urgent interrupt, does `work`, and tells how long it took until the handler began.
fn arrival(work: impl Fn()) -> u64 {
    let start = timestamp();
    local().send_to_self(URGENT);
    work();
    wait_for_arrival(start)
}

/// Waits for the handler to have begun after `start`, and tells how long after.
fn wait_for_arrival(start: u64) -> u64 {
    loop {
        let began = BEGAN.load(Ordering::Relaxed);
        if began > start {
            return began - start;
        }
    }
}

/// How late the function of a timer begins, through the queue; `None` if there is no timer.
fn deadline_to_function() -> Option<[u64; 4]> {
    // Long enough to be started and still wait.
    const WAIT: u64 = 5_000;
    let begin = |_: &Expiry<'_>| BEGAN.store(timestamp(), Ordering::Relaxed);
    let mut timer = Timer::new("bench", Mode::Interrupt, begin).ok()?;
    Some(sample(|| {
        let deadline = time::nanoseconds() + WAIT;
        let start = time::timestamp_at(deadline) - 1;
        // This CPU's own timer is not refused.
        let _ = timer.at(deadline);
        wait_for_arrival(start)
    }))
}

/// Goes on for [`SECTION`] cycles.
fn work() {
    let start = timestamp();
    while timestamp() - start < SECTION {}
}

extern "C" fn urgent(_: usize, _: u8) {
    BEGAN.store(timestamp(), Ordering::Relaxed);
}

extern "C" fn nothing(_: usize, _: u8) {}

/// The time that `action` takes.
fn since(action: impl Fn()) -> impl Fn() -> u64 {
    move || {
        let start = timestamp();
        action();
        timestamp() - start
    }
}

/// Least, median, 99th percentile and greatest of what `measure` gives.
fn sample(mut measure: impl FnMut() -> u64) -> [u64; 4] {
    for _ in 0..WARM_UP {
        measure();
    }
    let mut cycles: Vec<u64> = (0..SAMPLES).map(|_| measure()).collect();
    cycles.sort_unstable();
    [0, SAMPLES / 2, SAMPLES * 99 / 100, SAMPLES - 1].map(|rank| cycles[rank])
}
