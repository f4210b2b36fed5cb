//! More deferred work than a CPU can take, from all CPUs and four levels of each: what is accepted is
//! done once, in the order of each producer; what is refused is counted.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use spin::Once;
use tocsin_logic::vector::PriorityClass;

use super::{PATIENCE, call_here, numbers};
use crate::command::CommandError;
use tocsin::ipi::{jobs, nmi};
use tocsin::line::{Line, Request, Source};
use tocsin::{cpu, deferred, priority, smp, time};

/// Pieces that the CPU which gets all makes in its thread: more than the queue has room for.
const ROUNDS: u64 = 200;

/// Pieces that each other CPU makes in its thread.
fn rounds_elsewhere() -> u64 {
    (400 / numbers().count().max(1) as u64).clamp(8, ROUNDS)
}

/// Levels that each CPU makes work at: a thread, a handler of class 6, a called function of class 13, NMI.
const LEVELS: usize = 4;

/// One CPU at one level: what it makes is done in order.
#[derive(Debug, Default)]
struct Producer {
    /// Pieces that were accepted: also the number of the next.
    accepted: AtomicU64,
    refused: AtomicU64,
    /// Pieces that have been done: also the number of the one that must come next.
    done: AtomicU64,
}

/// By CPU number and level.
static PRODUCERS: Once<Vec<[Producer; LEVELS]>> = Once::new();

static OUT_OF_ORDER: AtomicU64 = AtomicU64::new(0);

/// The CPU that gets all the work.
static TARGET: AtomicU32 = AtomicU32::new(0);

/// What came of it.
pub(super) struct Outcome {
    target: u32,
    accepted: u64,
    refused: u64,
    done: u64,
    out_of_order: u64,
    /// As the queue itself has it.
    counted: deferred::Counts,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            target,
            accepted,
            refused,
            done,
            out_of_order,
            counted,
        } = self;
        write!(
            f,
            "  flood of work for CPU {target}: {accepted} accepted, {refused} refused, {done} done, \
             {out_of_order} out of order; counted there: {} accepted, {} refused, {} done",
            counted.accepted, counted.refused, counted.done
        )
    }
}

/// Floods the last CPU. In a thread of the monitor.
pub(super) fn run() -> Result<Outcome, CommandError> {
    let last = numbers().last().unwrap_or(0);
    let producers = PRODUCERS.call_once(|| (0..=last).map(|_| Default::default()).collect());
    for producer in producers.iter().flatten() {
        for counter in [&producer.accepted, &producer.refused, &producer.done] {
            counter.store(0, Ordering::Relaxed);
        }
    }
    OUT_OF_ORDER.store(0, Ordering::Relaxed);
    TARGET.store(last, Ordering::Relaxed);
    let target = smp::find(last).map_or(cpu::current(), |online| online.cpu);
    let before = deferred::counts(target);
    jobs::run_on_all(produce_here).map_err(CommandError::Cpu)?;
    let sum = |of: fn(&Producer) -> &AtomicU64| {
        let all = producers.iter().flatten();
        all.map(|it| of(it).load(Ordering::Acquire)).sum::<u64>()
    };
    time::wait_until(PATIENCE, || sum(|it| &it.done) >= sum(|it| &it.accepted));
    let now = deferred::counts(target);
    Ok(Outcome {
        target: last,
        accepted: sum(|it| &it.accepted),
        refused: sum(|it| &it.refused),
        done: sum(|it| &it.done),
        out_of_order: OUT_OF_ORDER.load(Ordering::Relaxed),
        counted: deferred::Counts {
            accepted: now.accepted - before.accepted,
            done: now.done - before.done,
            refused: now.refused - before.refused,
        },
    })
}

/// Makes work on the CPU that runs this, at all levels.
fn produce_here(_: u64) {
    let own = cpu::current().id();
    // Until it has produced all, the target does nothing of it: its queue overflows.
    let lowest = PriorityClass::LOWEST_USABLE;
    let held = (own == TARGET.load(Ordering::Relaxed)).then(|| priority::raise(lowest));
    let class = PriorityClass::new(6).unwrap_or(lowest);
    let request = Request {
        name: "flood",
        source: Source::Message,
        class,
        cpu: own,
    };
    let line = Line::new(request, || produce(1)).ok();
    let rounds = if held.is_some() {
        ROUNDS
    } else {
        rounds_elsewhere()
    };
    for round in 0..rounds {
        produce(0);
        if let Some(line) = &line {
            line.trigger().expect("it has no input");
        }
        if round.is_multiple_of(2) {
            call_here(produce_called, 2);
        }
        if round.is_multiple_of(8) {
            // One that is still to answer the last is left alone.
            // SAFETY: the function uses atomics, and `defer`, which is for any context.
            let _ = unsafe { nmi::call(own, produce_called, 3) };
        }
    }
    drop(held);
    // Its last message has come when it is gone, and a call and an NMI to oneself come at once.
    drop(line);
}

extern "C" fn produce_called(level: usize) {
    produce(level);
}

/// Puts the next piece of this CPU's and this level off.
fn produce(level: usize) {
    let own = cpu::current().id() as usize;
    let Some(producer) = PRODUCERS.get().and_then(|all| all.get(own)?.get(level)) else {
        return;
    };
    // Only this level of this CPU changes it.
    let number = producer.accepted.load(Ordering::Relaxed);
    let argument = (own * LEVELS + level) << 32 | number as usize;
    let target = TARGET.load(Ordering::Relaxed);
    let made = if own as u32 == target {
        deferred::defer(work, argument)
    } else if level == LEVELS - 1 {
        // An NMI may not send to others.
        return;
    } else {
        deferred::defer_on(target, work, argument)
    };
    let counter = match made {
        Ok(()) => &producer.accepted,
        Err(_) => &producer.refused,
    };
    counter.fetch_add(1, Ordering::Release);
}

extern "C" fn work(argument: usize) {
    let (producer, number) = (argument >> 32, argument as u32);
    let all = PRODUCERS.get();
    let Some(producer) = all.and_then(|all| all.get(producer / LEVELS)?.get(producer % LEVELS))
    else {
        return;
    };
    if producer.done.fetch_add(1, Ordering::Release) != u64::from(number) {
        OUT_OF_ORDER.fetch_add(1, Ordering::Relaxed);
    }
}
