//! `ipi`: CPUs that call each other, work put off, and lines, with all that was sent counted and
//! compared with all that came.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::vector::PriorityClass;

use super::{Arguments, CommandError};
use crate::irq::ipi::Targets;
use crate::irq::{Line, Request, Source, call, deferred};
use crate::smp::{self, jobs};
use crate::{Machine, println};

/// Rounds of each kind.
const ROUNDS: u64 = 200;

/// Rounds of the kind in which all CPUs call all others: their number grows with its square.
fn rounds_together(cpus: u64) -> u64 {
    (800 / (cpus * cpus)).clamp(2, ROUNDS)
}

static CALLED: AtomicU64 = AtomicU64::new(0);
static REFUSED: AtomicU64 = AtomicU64::new(0);
static WORKED: AtomicU64 = AtomicU64::new(0);
static OUT_OF_ORDER: AtomicU64 = AtomicU64::new(0);

pub(super) fn ipi(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    arguments.end()?;
    let cpus: Vec<u32> = smp::online()
        .into_iter()
        .flat_map(|cpus| &cpus.online)
        .map(|online| online.cpu.id())
        .collect();
    let number = cpus.len() as u64;
    println!("  what                                       sent   received");

    reset();
    for &cpu in &cpus {
        for _ in 0..ROUNDS {
            count_refusal(call::and_wait(cpu, called, 0).is_err());
        }
    }
    show("call one CPU and wait", number * ROUNDS, &CALLED);

    reset();
    for _ in 0..ROUNDS {
        count_refusal(call::and_wait(Targets::Others, called, 0).is_err());
    }
    show("call all others and wait", (number - 1) * ROUNDS, &CALLED);

    reset();
    jobs::run_on_all(call_all_others).map_err(CommandError::Cpu)?;
    show(
        "all CPUs call all others at once",
        number * (number - 1) * rounds_together(number),
        &CALLED,
    );

    reset();
    jobs::run_on_all(defer_here).map_err(CommandError::Cpu)?;
    show("work put off on each CPU", number * ROUNDS, &WORKED);
    println!(
        "  work out of order: {}",
        OUT_OF_ORDER.load(Ordering::Relaxed)
    );

    let came = cpus.iter().map(|&cpu| through_line(cpu)).sum::<u64>();
    println!(
        "  {:<38}  {:>7}  {came:>9}",
        "messages to a line on each CPU",
        number * ROUNDS
    );
    Ok(())
}

fn reset() {
    for counter in [&CALLED, &REFUSED, &WORKED, &OUT_OF_ORDER] {
        counter.store(0, Ordering::Relaxed);
    }
}

fn show(what: &str, sent: u64, received: &AtomicU64) {
    let sent = sent - REFUSED.load(Ordering::Relaxed);
    println!(
        "  {what:<38}  {sent:>7}  {:>9}",
        received.load(Ordering::Relaxed)
    );
}

fn count_refusal(refused: bool) {
    REFUSED.fetch_add(u64::from(refused), Ordering::Relaxed);
}

extern "C" fn called(_: usize) {
    CALLED.fetch_add(1, Ordering::Relaxed);
}

fn call_all_others(_: u64) {
    let cpus = smp::online().map_or(1, |cpus| cpus.online.len() as u64);
    for _ in 0..rounds_together(cpus) {
        count_refusal(call::and_wait(Targets::Others, called, 0).is_err());
    }
}

/// Puts work off on the CPU that runs this, numbered, and waits until it has all been done.
fn defer_here(_: u64) {
    let next = AtomicU64::new(0);
    for number in 0..ROUNDS {
        let work = Work {
            next: &raw const next as usize,
            number,
        };
        let argument = &raw const work as usize;
        while deferred::defer(work_off, argument).is_err() {
            core::hint::spin_loop();
        }
        while next.load(Ordering::Acquire) <= number {
            core::hint::spin_loop();
        }
    }
}

struct Work {
    next: usize,
    number: u64,
}

extern "C" fn work_off(argument: usize) {
    // SAFETY: 1. `defer_here` keeps the work until its number has been counted below.
    let work = unsafe { &*(argument as *const Work) };
    // SAFETY: 1. As above, the counter too.
    let next = unsafe { &*(work.next as *const AtomicU64) };
    WORKED.fetch_add(1, Ordering::Relaxed);
    if next.fetch_add(1, Ordering::Release) != work.number {
        OUT_OF_ORDER.fetch_add(1, Ordering::Relaxed);
    }
}

/// Sends messages to a line of its own on `cpu`, each when the last has come; tells how many came.
fn through_line(cpu: u32) -> u64 {
    static CAME: AtomicU64 = AtomicU64::new(0);
    CAME.store(0, Ordering::Relaxed);
    let Some(class) = PriorityClass::new(6) else {
        return 0;
    };
    let request = Request {
        name: "ipi",
        source: Source::Message,
        class,
        cpu,
    };
    let line = match Line::new(request, || {
        CAME.fetch_add(1, Ordering::Release);
    }) {
        Ok(line) => line,
        Err(error) => {
            println!("  CPU {cpu}: {error}");
            return 0;
        }
    };
    for sent in 1..=ROUNDS {
        line.trigger();
        while CAME.load(Ordering::Acquire) < sent {
            core::hint::spin_loop();
        }
    }
    // One more, that may still be on its way when the line goes: it must come or not, but never
    // find the handler gone.
    line.trigger();
    drop(line);
    CAME.load(Ordering::Acquire).min(ROUNDS)
}
