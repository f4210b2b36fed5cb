//! The CPUs that are online.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicPtr, Ordering};

use tocsin_logic::apic::ApicId;
use tocsin_logic::smp::{Broadcast, Stage, Unowned};

use crate::cpu::PerCpu;
use crate::memory::MemoryError;

/// A CPU that failed to start.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Its number.
    pub cpu: u32,
    /// Its APIC ID.
    pub apic_id: ApicId,
    /// The reason.
    pub cause: Cause,
}

/// The reason for which a CPU is not online.
#[derive(Clone, Copy, Debug)]
pub enum Cause {
    /// It was started and stopped; holds the last stage that it is known to have reached.
    Stopped(Stage),
    /// It was not started: there is no memory for its stacks.
    NoMemory(MemoryError),
}

/// A CPU that is online.
#[derive(Clone, Copy, Debug)]
pub struct Online {
    /// Its per-CPU block.
    pub cpu: PerCpu,
    /// Its APIC ID.
    pub apic_id: ApicId,
    /// Its number, here too because the block is in another CPU's cache.
    pub(super) number: u32,
}

impl Online {
    pub(super) fn new(cpu: PerCpu, apic_id: ApicId) -> Self {
        let number = cpu.id();
        // `ipi::physical` relies on it.
        assert!(
            apic_id <= ApicId::X2APIC_MAX,
            "smp: CPU {number}: no CPU can have APIC ID {apic_id}"
        );
        Self {
            cpu,
            apic_id,
            number,
        }
    }
}

/// The result of bring-up.
#[derive(Debug)]
pub struct OnlineCpus {
    /// The online CPUs in the order of their numbers; the first is the boot CPU.
    pub online: &'static [Online],
    /// The CPUs that failed.
    pub failures: Vec<Failure>,
    /// Time from the first INIT until the last CPU was ready, in nanoseconds.
    pub duration: u64,
    /// The method of sending IPIs to all CPUs.
    pub broadcast: Broadcast,
    /// As `online`, but empty if IPIs to all CPUs must not use shorthands.
    by_shorthand: &'static [Online],
}

/// The result of bring-up; before the start, [`NONE`]. A pointer instead of a `Once`, because every
/// call on another CPU reads it, and this saves the check whether it is set.
static ONLINE: AtomicPtr<OnlineCpus> = AtomicPtr::new((&raw const NONE).cast_mut());

static NONE: OnlineCpus = OnlineCpus {
    online: &[],
    failures: Vec::new(),
    duration: 0,
    broadcast: Broadcast::EachCpu(Unowned::Incomplete),
    by_shorthand: &[],
};

/// The online CPUs and failures; `None` until all CPUs have been started.
///
/// Context: any.
#[inline]
#[must_use]
pub fn online() -> Option<&'static OnlineCpus> {
    let cpus = started();
    (!core::ptr::eq(cpus, &raw const NONE)).then_some(cpus)
}

/// The online CPUs and failures; empty until all CPUs have been started.
#[inline]
fn started() -> &'static OnlineCpus {
    // SAFETY: The pointer leads to a value that lives forever and is not changed after it has been
    // stored.
    unsafe { &*ONLINE.load(Ordering::Acquire) }
}

/// The online CPUs, in the order of their numbers; none before all have been started.
///
/// Context: any.
#[inline]
#[must_use]
pub fn all() -> &'static [Online] {
    started().online
}

/// The online CPUs, if IPIs to all of them may use destination shorthands; else none. Any context.
#[inline]
#[must_use]
pub(crate) fn by_shorthand() -> &'static [Online] {
    started().by_shorthand
}

/// The method of sending IPIs to all CPUs.
///
/// Context: any.
#[must_use]
pub fn broadcast() -> Broadcast {
    started().broadcast
}

/// The online CPU with this number, if there is one.
///
/// Context: any.
#[inline]
#[must_use]
pub fn find(cpu: u32) -> Option<&'static Online> {
    // Usually all CPUs have started, and the number is the index.
    match all().get(cpu as usize) {
        Some(online) if online.number == cpu => Some(online),
        _ => find_elsewhere(cpu),
    }
}

#[cold]
fn find_elsewhere(cpu: u32) -> Option<&'static Online> {
    all().iter().find(|online| online.number == cpu)
}

/// Sets the result of bring-up. Called once.
pub(super) fn install(
    online: Vec<Online>,
    failures: Vec<Failure>,
    duration: u64,
    broadcast: Broadcast,
) -> &'static OnlineCpus {
    let online: &'static [Online] = online.leak();
    let by_shorthand = match broadcast {
        Broadcast::Shorthand => online,
        Broadcast::EachCpu(_) => &[],
    };
    let result: &'static OnlineCpus = Box::leak(Box::new(OnlineCpus {
        online,
        failures,
        duration,
        broadcast,
        by_shorthand,
    }));
    ONLINE.store(core::ptr::from_ref(result).cast_mut(), Ordering::Release);
    result
}
