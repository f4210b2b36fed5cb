//! Barriers, while the other CPUs run sections with interrupts disabled or with class 13 masked.
//! No section that was running before a barrier may be running after it.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use serde::Serialize;
use tocsin_logic::cpu_set::CpuSet;

use super::{TIMEOUT, numbers};
use crate::command::CommandError;
use tocsin::ipi::{Targets, barrier, call, jobs};
use tocsin::sync::without_interrupts;
use tocsin::{cpu, priority, smp, time};

/// The number of rounds. Each has a barrier with each other CPU, with all others, and with a set.
fn rounds() -> u64 {
    (400 / numbers().count().max(1) as u64).clamp(8, 100)
}

/// The number of PAUSE instructions in a section.
const LENGTH: u32 = 200;

tocsin::cpu_local! {
    /// The number of sections that the CPU has begun and ended: odd in a section.
    static SECTIONS: AtomicU64 = AtomicU64::new(0);
}

/// The CPU that executes the barriers.
static SENDER: AtomicU32 = AtomicU32::new(0);

/// Set when the sender has finished.
static IS_OVER: AtomicBool = AtomicBool::new(false);

static BARRIERS: AtomicU64 = AtomicU64::new(0);
static RUNNING_BEFORE: AtomicU64 = AtomicU64::new(0);
static RUNNING_AFTER: AtomicU64 = AtomicU64::new(0);

/// The result of the test.
#[derive(Serialize)]
pub(super) struct Outcome {
    /// The number of barriers.
    barriers: u64,
    /// The number of sections that were running on a target before a barrier, and the number of
    /// those that were still running after it.
    running_before: u64,
    running_after: u64,
}

impl Outcome {
    pub(super) fn is_right(&self) -> bool {
        self.running_after == 0
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            barriers,
            running_before,
            running_after,
        } = self;
        write!(
            f,
            "  {barriers} barriers: {running_before} sections were running before one, {running_after} of \
             them after it"
        )
    }
}

/// Runs the test. The caller runs in a thread of the monitor.
pub(super) fn run() -> Result<Outcome, CommandError> {
    for counter in [&BARRIERS, &RUNNING_BEFORE, &RUNNING_AFTER] {
        counter.store(0, Ordering::Relaxed);
    }
    SENDER.store(cpu::current().id(), Ordering::Relaxed);
    IS_OVER.store(false, Ordering::Relaxed);
    jobs::run_on_all(take_part).map_err(CommandError::Cpu)?;
    Ok(Outcome {
        barriers: BARRIERS.load(Ordering::Relaxed),
        running_before: RUNNING_BEFORE.load(Ordering::Relaxed),
        running_after: RUNNING_AFTER.load(Ordering::Relaxed),
    })
}

/// The job of each CPU.
fn take_part(_: u64) {
    if cpu::current().id() == SENDER.load(Ordering::Relaxed) {
        send();
        IS_OVER.store(true, Ordering::Relaxed);
    } else {
        while !IS_OVER.load(Ordering::Relaxed) {
            without_interrupts(section);
            let raised = priority::raise(call::CLASS);
            section();
            drop(raised);
        }
    }
}

fn section() {
    let count = SECTIONS.here();
    count.fetch_add(1, Ordering::Relaxed);
    for _ in 0..LENGTH {
        core::hint::spin_loop();
    }
    count.fetch_add(1, Ordering::Relaxed);
}

fn send() {
    let own = cpu::current().id();
    for round in 0..rounds() {
        for target in numbers().filter(|&it| it != own) {
            check(target, |it| it == target);
        }
        check(Targets::Others, |it| it != own);
        let mut set = CpuSet::EMPTY;
        for target in numbers().filter(|&it| u64::from(it) % 2 == round % 2) {
            // Cannot fail: the set has room for every CPU number.
            let _ = set.insert(target);
        }
        check(&set, |it| it != own && set.contains(it));
    }
}

/// Executes a barrier when at least one of the targets is in a section.
fn check<'a>(targets: impl Into<Targets<'a>>, is_target: impl Fn(u32) -> bool) {
    let of =
        |number: u32| smp::find(number).map_or(0, |it| SECTIONS.of(it.cpu).load(Ordering::Relaxed));
    let running = || {
        let targets = numbers().filter(|&it| is_target(it));
        targets
            .map(|it| (it, of(it)))
            .filter(|(_, count)| count % 2 != 0)
    };
    if numbers().any(&is_target) {
        time::wait_until(TIMEOUT, || running().next().is_some());
    }
    let mut before = [None; 8];
    for (slot, section) in before.iter_mut().zip(running()) {
        *slot = Some(section);
    }
    // Cannot fail: the targets are online.
    let _ = barrier::wait(targets);
    BARRIERS.fetch_add(1, Ordering::Relaxed);
    for (number, count) in before.into_iter().flatten() {
        RUNNING_BEFORE.fetch_add(1, Ordering::Relaxed);
        RUNNING_AFTER.fetch_add(u64::from(of(number) == count), Ordering::Relaxed);
    }
}
