//! Work that a handler leaves for later: an interrupt of the lowest class.
//!
//! It preempts threads and is preempted by every device, and the local APIC does the scheduling:
//! queueing work sends the CPU an interrupt of class 2, which waits until nothing more urgent
//! is in service. Work runs in the order of its queueing; see `tocsin_logic::irq::queue`.
//!
//! The queues are bounded. What finds one full is refused and counted, and the first time that this
//! happens to a CPU, the CPU itself says so when it has worked the queue off: who was refused may hold
//! the log's lock, or be an NMI.

use core::fmt;
use core::sync::atomic::Ordering;

use tocsin_logic::irq::queue::Full;
use tocsin_logic::vector::{Vector, fixed};

use crate::apic::local;
use crate::cpu::percpu::{Deferred, WORK};
use crate::cpu::symbols::Code;
use crate::cpu::{self, PerCpu, interrupts};
use crate::fn_cell;
use crate::ipi::{self, Offline, physical};

/// Vector of the interrupt: of the lowest usable class.
pub const VECTOR: Vector = fixed::DEFERRED;

/// A piece of work. It runs with interrupts enabled, in class 2.
pub type Work = extern "C" fn(argument: usize);

/// Why work was not put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeferError {
    /// The CPU is not online.
    Offline(Offline),
    /// Too much waits for the CPU of this number; the refusal is counted there.
    Full(u32),
}

impl fmt::Display for DeferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(offline) => offline.fmt(f),
            Self::Full(cpu) => write!(f, "{WORK} pieces of work wait for CPU {cpu} already"),
        }
    }
}

impl core::error::Error for DeferError {}

/// What has been put off on a CPU since the kernel started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Pieces that were accepted.
    pub accepted: u64,
    /// Pieces of these that have been done.
    pub done: u64,
    /// Pieces that found the queue full.
    pub refused: u64,
}

/// Lets work be deferred. Once, before any is.
pub(crate) fn set_up() {
    interrupts::register(VECTOR, run);
}

/// Leaves `work` for this CPU to do as soon as nothing more urgent is in service. Any context, NMI
/// too.
///
/// Context: any.
///
/// # Errors
///
/// [`DeferError::Full`], if too much waits.
#[inline]
pub fn defer(work: Work, argument: usize) -> Result<(), DeferError> {
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
/// [`DeferError`], if it is not online or too much waits there.
pub fn defer_on(cpu: u32, work: Work, argument: usize) -> Result<(), DeferError> {
    let target = ipi::find(cpu).map_err(DeferError::Offline)?;
    push(target.cpu, work, argument)?;
    ipi::signal(VECTOR, physical(target));
    Ok(())
}

/// What has been put off on a CPU. Other CPUs see it a little late.
///
/// Context: any.
#[must_use]
pub fn counts(cpu: &PerCpu) -> Counts {
    let Deferred { queue, .. } = &cpu.deferred;
    // The refusals first: a piece is never in both.
    let refused = queue.overflowed() as u64;
    let done = queue.taken() as u64;
    Counts {
        accepted: queue.claimed() as u64,
        done,
        refused,
    }
}

#[inline]
fn push(cpu: &PerCpu, work: Work, argument: usize) -> Result<(), DeferError> {
    let Deferred { queue, refused, .. } = &cpu.deferred;
    queue.push(work as usize, argument).map_err(|Full { .. }| {
        // The first one's name is kept.
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
    } = &cpu.deferred;
    while let Some((work, argument)) = queue.pop() {
        // SAFETY: Only `Work` is queued.
        let work: Work = unsafe { fn_cell::from_address(work as *mut ()) };
        work(argument);
    }
    let refused = refused.load(Ordering::Relaxed);
    // Only this CPU, and at this level only.
    if refused != 0 && !is_reported.load(Ordering::Relaxed) {
        is_reported.store(true, Ordering::Relaxed);
        log::warn!(
            "CPU {}: {WORK} pieces of deferred work waited, and {} was refused; later refusals are \
             only counted",
            cpu.id(),
            Code(refused as u64)
        );
    }
}
