//! More deferred work than a CPU can accept, from four levels of every CPU. Accepted work must be
//! done once, in the order of each producer; refused work is counted.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use serde::Serialize;
use spin::Once;
use tocsin_logic::vector::PriorityClass;

use super::{TIMEOUT, WorkCounts, call_here, numbers};
use crate::command::CommandError;
use tocsin::ipi::{jobs, nmi};
use tocsin::line::{Line, Request, Source};
use tocsin::{cpu, deferred, priority, smp, time};

/// The number of work items that the target CPU produces in its thread, which exceeds the capacity
/// of the queue.
const ROUNDS: u64 = 200;

/// The number of work items that each other CPU produces in its thread.
fn rounds_elsewhere() -> u64 {
    (400 / numbers().count().max(1) as u64).clamp(8, ROUNDS)
}

/// The number of levels at which each CPU produces work: a thread, a handler of class 6, a called
/// function of class 13, and NMI.
const LEVELS: usize = 4;

/// One level of one CPU. Its work must be done in order.
#[derive(Debug, Default)]
struct Producer {
    /// The number of accepted work items, which is also the number of the next.
    accepted: AtomicU64,
    refused: AtomicU64,
    /// The number of completed work items, which is also the number that must come next.
    done: AtomicU64,
}

/// The producers, by CPU number and level.
static PRODUCERS: Once<Vec<[Producer; LEVELS]>> = Once::new();

static OUT_OF_ORDER: AtomicU64 = AtomicU64::new(0);

/// The CPU that receives all the work.
static TARGET: AtomicU32 = AtomicU32::new(0);

/// The result of the test.
#[derive(Serialize)]
pub(super) struct Outcome {
    /// The CPU that received all the work.
    cpu: u32,
    accepted: u64,
    refused: u64,
    done: u64,
    out_of_order: u64,
    /// The counts of the queue itself.
    queue: WorkCounts,
}

impl Outcome {
    /// Returns whether all accepted work was done once and in order.
    pub(super) fn is_right(&self) -> bool {
        self.done == self.accepted && self.out_of_order == 0
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            accepted,
            refused,
            done,
            out_of_order,
            queue,
        } = self;
        write!(
            f,
            "  flood of deferred work for CPU {cpu}: {accepted} accepted, {refused} refused, {done} \
             done, {out_of_order} out of order; counts of its queue: {} accepted, {} refused, {} done",
            queue.accepted, queue.refused, queue.done
        )
    }
}

/// Floods the last CPU. The caller runs in a thread of the monitor.
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
    time::wait_until(TIMEOUT, || sum(|it| &it.done) >= sum(|it| &it.accepted));
    let now = deferred::counts(target);
    Ok(Outcome {
        cpu: last,
        accepted: sum(|it| &it.accepted),
        refused: sum(|it| &it.refused),
        done: sum(|it| &it.done),
        out_of_order: OUT_OF_ORDER.load(Ordering::Relaxed),
        queue: WorkCounts {
            accepted: now.accepted - before.accepted,
            done: now.done - before.done,
            refused: now.refused - before.refused,
        },
    })
}

/// Produces work at all levels of the CPU that runs this function.
fn produce_here(_: u64) {
    let own = cpu::current().id();
    // The target handles no work until it has produced all of its own, so its queue overflows.
    let lowest = PriorityClass::LOWEST_USABLE;
    let raised = (own == TARGET.load(Ordering::Relaxed)).then(|| priority::raise(lowest));
    let class = PriorityClass::new(6).unwrap_or(lowest);
    let request = Request {
        name: "flood",
        source: Source::Message,
        class,
        cpu: own,
    };
    let line = Line::new(request, || produce(1)).ok();
    let rounds = if raised.is_some() {
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
            // Fails if the CPU has not yet handled the last call, and is then not repeated.
            // SAFETY: The function uses atomics, and `defer`, which may be called in any context.
            let _ = unsafe { nmi::call(own, produce_called, 3) };
        }
    }
    drop(raised);
    // The drop of the line waits for its last interrupt. A call and an NMI to this CPU are
    // delivered immediately.
    drop(line);
}

extern "C" fn produce_called(level: usize) {
    produce(level);
}

/// Defers the next work item of this CPU and level.
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
        // An NMI handler must not send to other CPUs.
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
