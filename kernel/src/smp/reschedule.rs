//! The interrupt that has a CPU look whether there is something else to run.
//!
//! It is of the lowest class, so it is answered when nothing else is in service: what it interrupts
//! is a thread, never a handler. Several that come before the CPU answers are one (SDM vol. 3A,
//! 12.8.4). A CPU that sleeps in `hlt` wakes.

use core::sync::atomic::{AtomicPtr, Ordering};

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::vector::Vector;

use super::Online;
use crate::apic;
use crate::cpu::interrupts;

/// The vector.
pub const VECTOR: Vector = Vector(0x21);

/// What runs on a CPU that is told to look: in class 2, on its interrupt stack, interrupts enabled.
pub type Hook = fn();

static HOOK: AtomicPtr<()> = AtomicPtr::new(nothing as *mut ());

/// For a kernel without a scheduler, the end of `hlt` is all that is needed.
fn nothing() {}

/// Sets the hook that runs on a CPU when it takes the IPI, in place of an earlier one.
///
/// Context: any.
pub fn set_hook(hook: Hook) {
    HOOK.store(hook as *mut (), Ordering::Release);
}

/// Answers the interrupt. Once, before other CPUs run.
pub(crate) fn set_up() {
    interrupts::register(VECTOR, answer);
}

/// Tells a CPU to look. What was written before, it sees.
pub(super) fn signal(target: &Online) {
    apic::local()
        .send_fixed(VECTOR, Destination::Physical(target.apic_id))
        .expect("the ID of a CPU that is online fits the mode");
}

extern "C" fn answer(_: usize, _: u8) {
    let hook = HOOK.load(Ordering::Acquire);
    // SAFETY: 1. Only `Hook`s are stored.
    let hook = unsafe { core::mem::transmute::<*mut (), Hook>(hook) };
    hook();
}
