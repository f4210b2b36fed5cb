//! Deferred work: runs in an interrupt of the lowest class.
//!
//! It preempts threads, and every device preempts it. The local APIC schedules it: queueing work
//! sends the CPU an interrupt of class 2, which stays pending while an interrupt of that class or a
//! higher one is in service. Work runs in the order in which it was queued; see
//! `tocsin_logic::irq::queue`.
//!
//! The queues are bounded. If a queue is full, work is rejected and counted. After the first
//! rejection, the CPU of the queue logs this when it has emptied the queue, because the caller may
//! hold the log's lock or be an NMI handler.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tocsin_logic::irq::queue::Full;
use tocsin_logic::irq::queue::Queue;
use tocsin_logic::vector::{Vector, fixed};

use crate::apic::local;
use crate::cpu::{self, PerCpu, handlers};
use crate::fn_cell;
use crate::ipi::{self, Callback, Offline, physical};
use crate::panic::symbols::Code;

/// Maximum number of pending deferred work items of one CPU.
pub const WORK: usize = 128;

/// The deferred work of a CPU.
#[derive(Debug)]
struct Deferred {
    queue: Queue<WORK>,
    /// 0, or the address of the work that first found the queue full.
    refused: AtomicUsize,
    /// Whether the CPU has logged it.
    is_reported: AtomicBool,
}

crate::cpu_local! {
    static DEFERRED: Deferred = Deferred {
        queue: Queue::new(),
        refused: AtomicUsize::new(0),
        is_reported: AtomicBool::new(false),
    };
}

/// Vector of the deferred-work interrupt, in the lowest usable class.
pub const VECTOR: Vector = fixed::DEFERRED;

/// The reason why work was not deferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeferError {
    /// The CPU is not online.
    Offline(Offline),
    /// The queue of the CPU with this number is full; the refusal is counted there.
    Full(u32),
}

impl fmt::Display for DeferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(offline) => offline.fmt(f),
            Self::Full(cpu) => write!(
                f,
                "the queue of CPU {cpu} is full: {WORK} items are pending"
            ),
        }
    }
}

impl core::error::Error for DeferError {}

/// The counts of work deferred to a CPU since the kernel started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Accepted items.
    pub accepted: u64,
    /// Accepted items that have been executed.
    pub done: u64,
    /// Items refused because the queue was full.
    pub refused: u64,
}

/// Registers the handler. Called once, before any work is deferred.
pub(crate) fn set_up() {
    handlers::register(VECTOR, run);
}

/// Defers `work` on this CPU until nothing more urgent is in service. It runs in class 2 with
/// interrupts enabled.
///
/// Context: any.
///
/// # Errors
///
/// [`DeferError::Full`], if the queue is full.
#[inline]
pub fn defer(work: Callback, argument: usize) -> Result<(), DeferError> {
    push(cpu::current(), work, argument)?;
    local().send_to_self(VECTOR);
    Ok(())
}

/// As [`defer`], on CPU number `cpu`.
///
/// Context: any.
///
/// # Errors
///
/// [`DeferError`], if the CPU is not online or its queue is full.
pub fn defer_on(cpu: u32, work: Callback, argument: usize) -> Result<(), DeferError> {
    let target = ipi::find(cpu).map_err(DeferError::Offline)?;
    push(target.cpu, work, argument)?;
    ipi::signal(VECTOR, physical(target));
    Ok(())
}

/// The counts of work deferred to a CPU. Other CPUs see changes with a small delay.
///
/// Context: any.
#[must_use]
pub fn counts(cpu: PerCpu) -> Counts {
    let Deferred { queue, .. } = DEFERRED.of(cpu);
    // The refusals are read first: an item is never in both counts.
    let refused = queue.overflowed() as u64;
    let done = queue.taken() as u64;
    Counts {
        accepted: queue.claimed() as u64,
        done,
        refused,
    }
}

#[inline]
fn push(cpu: PerCpu, work: Callback, argument: usize) -> Result<(), DeferError> {
    let Deferred { queue, refused, .. } = DEFERRED.of(cpu);
    queue.push(work as usize, argument).map_err(|Full { .. }| {
        // Only the first refused function is kept.
        let _ = refused.compare_exchange(0, work as usize, Ordering::Relaxed, Ordering::Relaxed);
        DeferError::Full(cpu.id())
    })
}

extern "C" fn run(_: usize, _: u8) {
    let cpu = cpu::current();
    let Deferred {
        queue,
        refused,
        is_reported,
    } = DEFERRED.of(cpu);
    while let Some((work, argument)) = queue.pop() {
        // SAFETY: Only `Callback`s are queued.
        let work: Callback = unsafe { fn_cell::from_address(work as *mut ()) };
        work(argument);
    }
    let refused = refused.load(Ordering::Relaxed);
    // Written only by this CPU, and only in this class.
    if refused != 0 && !is_reported.load(Ordering::Relaxed) {
        is_reported.store(true, Ordering::Relaxed);
        log::warn!(
            "deferred work: CPU {}: the queue was full with {WORK} items, and {} was refused (later \
             refusals are only counted)",
            cpu.id(),
            Code(refused as u64)
        );
    }
}
