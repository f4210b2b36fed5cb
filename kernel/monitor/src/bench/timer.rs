//! The latency of a timer from its deadline to the start of its function, through the CPU's timer
//! queue: without other timers, and with many pending timers.
//!
//! The baselines use the hardware directly. The floor baseline has one deadline; the typical
//! baseline keeps an ordered map of deadlines under a lock.

use crate::raw;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::Ordering;

use spin::Mutex;
use tocsin_logic::vector::Vector;
use x86_64::instructions::interrupts;

use super::baselines::{BEGAN, FLOOR, Installed, TYPICAL};
use super::clock::stamp;
use super::record::Value;
use super::runner::Bench;
use super::self_ipi::wait;
use tocsin::time;
use tocsin::timer::{self, Borrowed, Expiry, Mode, Timer};

/// The time from the start of a timer to its deadline, in nanoseconds. It is long enough that the
/// timer is pending before the deadline passes.
const WAIT: u64 = 5_000;

/// The number of other pending timers, and their deadline in nanoseconds from now, which never
/// passes during the benchmark.
const OTHERS: usize = 64;
const FAR: u64 = 3_600_000_000_000;

/// The maximum time by which a timer interrupt may precede its deadline, in cycles, because the
/// rate of the timer is a measured value.
const EARLY: u64 = 1_000;

/// The timers of the typical baseline, by deadline, under a lock.
static TIMERS: Mutex<BTreeMap<u64, fn()>> = Mutex::new(BTreeMap::new());

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    Installed::set_typical(expire);
    let begin = |_: &Expiry<'_>| BEGAN.store(stamp(), Ordering::Relaxed);
    let mut timer = match Timer::new("bench", Mode::Interrupt, begin) {
        Ok(timer) => timer,
        Err(error) => return bench.skip("timer.queue", &alloc::format!("{error}")),
    };
    measure(bench, "idle", &mut timer, &installed);
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        match Timer::new("bench other", Mode::Interrupt, |_: &Expiry<'_>| ()) {
            Ok(mut other) => {
                // Cannot fail: it is a timer of this CPU.
                let _ = other.after(FAR);
                others.push(other);
            }
            Err(error) => return bench.skip("timer.queue, load busy", &alloc::format!("{error}")),
        }
        let far = time::timestamp_at(time::nanoseconds() + FAR);
        TIMERS.lock().insert(far, || ());
    }
    measure(bench, "busy", &mut timer, &installed);
    TIMERS.lock().clear();
}

fn measure(bench: &mut Bench, load: &'static str, timer: &mut Timer, installed: &Installed) {
    let overhead = bench.overhead;
    let mut variants = installed.variants(
        overhead,
        || late(timer),
        || late_alone(FLOOR),
        || late_alone(TYPICAL),
    );
    let param = [("load", Value::Word(load))];
    bench.compare("timer.queue", &param, &mut variants);
}

/// Returns the delay from the deadline to the start of the timer's function.
fn late(timer: &mut Timer) -> u64 {
    BEGAN.store(0, Ordering::Relaxed);
    let deadline = time::nanoseconds() + WAIT;
    let start = time::timestamp_at(deadline);
    // Cannot fail: it is this CPU's own timer.
    let _ = timer.at(deadline);
    wait().wrapping_sub(start)
}

/// Returns the delay of a baseline, which uses the hardware directly.
fn late_alone(vector: Vector) -> u64 {
    let Some((_hardware, deadline)) = arm_alone(vector, WAIT) else {
        return 0;
    };
    // SAFETY: Interrupts were enabled before. All registers that a handler may change are declared,
    // and no interrupt arrives before the first line.
    unsafe {
        asm!(
            "sti",
            "2: cmp qword ptr [rip + {began}], 0", "je 2b",
            began = sym BEGAN,
            out("rax") _, out("rcx") _, out("rdx") _,
        );
    }
    BEGAN.load(Ordering::Relaxed).wrapping_sub(deadline)
}

/// Disables interrupts and sets the hardware's deadline for a baseline, `nanoseconds` from now.
/// Returns the deadline, in cycles. The caller enables interrupts in code whose registers the
/// baseline's handler may change.
pub(super) fn arm_alone(vector: Vector, nanoseconds: u64) -> Option<(Borrowed, u64)> {
    let hardware = timer::borrow().ok()?;
    BEGAN.store(0, Ordering::Relaxed);
    raw::prepare_timer(vector);
    let deadline = time::timestamp_at(time::nanoseconds() + nanoseconds);
    if vector == TYPICAL {
        TIMERS
            .lock()
            .insert(deadline, || BEGAN.store(stamp(), Ordering::Relaxed));
    }
    interrupts::disable();
    hardware.set_deadline(deadline);
    Some((hardware, deadline))
}

/// The timer handler of the typical baseline.
pub(super) extern "C" fn expire(_: usize, _: u8) {
    let now = stamp();
    let mut timers = TIMERS.lock();
    while let Some(first) = timers
        .first_entry()
        .filter(|first| *first.key() <= now + EARLY)
    {
        let function = first.remove();
        function();
    }
}
