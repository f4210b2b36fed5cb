//! Work that a handler leaves for later: an interrupt of the lowest class.
//!
//! It preempts threads and is preempted by every device, and the local APIC does the scheduling:
//! queueing work sends the CPU an interrupt of class 2, which waits until nothing more urgent
//! is in service. Work runs in the order of its queueing.

use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::irq::queue::Full;
use tocsin_logic::vector::Vector;

use super::call::CallError;
use crate::apic::local;
use crate::cpu::{self, interrupts};
use crate::smp;

/// Vector of the interrupt: of the lowest usable class.
pub const VECTOR: Vector = Vector(0x20);

/// A piece of work. It runs with interrupts enabled, in class 2.
pub type Work = extern "C" fn(argument: usize);

/// Lets work be deferred. Once, before any is.
pub(crate) fn set_up() {
    interrupts::register(VECTOR, run);
}

/// Leaves `work` for this CPU to do as soon as nothing more urgent is in service. Any context.
///
/// # Errors
///
/// [`Full`], if too much waits; the queue counts it.
pub fn defer(work: Work, argument: usize) -> Result<(), Full> {
    cpu::current().deferred.push(work as usize, argument)?;
    local().send_to_self(VECTOR);
    Ok(())
}

/// As [`defer`], for CPU number `cpu` to do.
///
/// # Errors
///
/// [`CallError`], if it is not online or too much waits there.
pub fn defer_on(cpu: u32, work: Work, argument: usize) -> Result<(), CallError> {
    let mut online = smp::online().into_iter().flat_map(|cpus| &cpus.online);
    let target = online
        .find(|online| online.cpu.id() == cpu)
        .ok_or(CallError::Offline(cpu))?;
    target
        .cpu
        .deferred
        .push(work as usize, argument)
        .map_err(|_| CallError::Full(cpu))?;
    let command = Icr::fixed(VECTOR.get(), Destination::Physical(target.apic_id));
    local().send(command).map_err(|_| CallError::Offline(cpu))
}

extern "C" fn run(_: usize, _: u8) {
    while let Some((work, argument)) = cpu::current().deferred.pop() {
        // SAFETY: 1. Only `Work` is queued.
        let work = unsafe { core::mem::transmute::<usize, Work>(work) };
        work(argument);
    }
}
