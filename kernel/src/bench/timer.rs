//! A deadline, until the timer's function runs, through the CPU's queue of timers: with no other
//! timer, and with many that wait.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use super::clock::stamp;
use super::record::Value;
use super::runner::{Bench, Case};
use crate::irq::timers::{Expiry, Mode, Timer};
use crate::time;

/// From the start of a timer to its deadline, in nanoseconds: long enough to be started and still wait.
const WAIT: u64 = 5_000;

/// Most samples: each takes as long.
const SAMPLES: usize = 10_000;

/// Other timers that wait, and when they would fire, in nanoseconds from now: never meanwhile.
const OTHERS: usize = 64;
const FAR: u64 = 3_600_000_000_000;

static BEGAN: AtomicU64 = AtomicU64::new(0);

pub(super) fn run(bench: &mut Bench) {
    let begin = |_: &Expiry<'_>| BEGAN.store(stamp(), Ordering::Relaxed);
    let mut timer = match Timer::new("bench", Mode::Interrupt, begin) {
        Ok(timer) => timer,
        Err(error) => return bench.skip("timer.queue", &alloc::format!("{error}")),
    };
    let overhead = bench.overhead;
    measure(bench, "idle", overhead, &mut timer);
    let mut others = Vec::new();
    for _ in 0..OTHERS {
        match Timer::new("bench other", Mode::Interrupt, |_: &Expiry<'_>| ()) {
            Ok(mut other) => {
                // A timer of this CPU is not refused.
                let _ = other.after(FAR);
                others.push(other);
            }
            Err(error) => return bench.skip("timer.queue, load busy", &alloc::format!("{error}")),
        }
    }
    measure(bench, "busy", overhead, &mut timer);
}

fn measure(bench: &mut Bench, load: &'static str, overhead: u64, timer: &mut Timer) {
    bench.compare_few(
        "timer.queue",
        &[("load", Value::Word(load))],
        SAMPLES,
        &mut [Case {
            variant: "tocsin",
            overhead,
            take: &mut || late(timer),
        }],
    );
}

/// How late the function of a timer begins.
fn late(timer: &mut Timer) -> u64 {
    BEGAN.store(0, Ordering::Relaxed);
    let deadline = time::nanoseconds() + WAIT;
    let start = time::timestamp_at(deadline);
    // This CPU's own timer is not refused.
    let _ = timer.at(deadline);
    loop {
        let began = BEGAN.load(Ordering::Relaxed);
        if began != 0 {
            return began.saturating_sub(start);
        }
    }
}
