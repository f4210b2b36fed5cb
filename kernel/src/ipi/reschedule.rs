//! The reschedule IPI: makes a CPU look for something else to run.
//!
//! It is of the lowest class, so the CPU handles it when no other interrupt is in service: what it interrupts is a
//! thread, never a handler. Several that arrive before the CPU handles one are one (SDM vol. 3A, 12.8.4). A CPU that
//! sleeps in `hlt` wakes.
//!
//! ```ignore
//! reschedule::set_hook(|| my_scheduler::current_cpu().look_again());
//! my_scheduler::of(cpu).enqueue(task);
//! reschedule::send(cpu)?;
//! ```
//!
//! The hook runs when nothing else is in service on the CPU, so what it finds interrupted is a thread.
//! Signals that come before it runs are one; one that comes while it runs makes it run again.

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::vector::{Vector, fixed};

use crate::apic;
use crate::cpu::interrupts;
use crate::fn_cell::FnCell;
use crate::ipi::{self, IpiError, Offline, Targets};
use crate::smp::Online;

/// The vector.
pub const VECTOR: Vector = fixed::RESCHEDULE;

/// The function that runs on a CPU that takes the IPI: in class 2, on its interrupt stack, interrupts enabled.
pub type Hook = fn();

/// Empty in a kernel without a scheduler: the end of `hlt` is all that it needs.
static HOOK: FnCell<Hook> = FnCell::empty();

/// Registers the vector. Once, before other CPUs run.
pub(crate) fn set_up() {
    interrupts::register(VECTOR, handle);
}

/// Sets the hook that runs on a CPU when it takes the IPI, in place of an earlier one.
///
/// Context: any.
pub fn set_hook(hook: Hook) {
    HOOK.replace(Some(hook));
}

/// Sends the IPI to one CPU, which sees all that was written before.
pub(super) fn signal(target: &Online) {
    apic::local()
        .send_fixed(VECTOR, Destination::Physical(target.apic_id))
        .expect("the ID of a CPU that is online fits the mode");
}

extern "C" fn handle(_: usize, _: u8) {
    if let Some(hook) = HOOK.get() {
        hook();
    }
}

/// Makes CPUs, including the caller if it is among them, run the hook.
///
/// What the caller has written before, the hook sees.
///
/// Context: any.
///
/// # Errors
///
/// [`Offline`], if one of the CPUs is not online. Then none is told.
///
/// # Panics
///
/// If the local APIC refuses the vector, which is one that it takes.
pub fn send<'a>(targets: impl Into<Targets<'a>>) -> Result<(), Offline> {
    ipi::send_vector(VECTOR, targets).map_err(|error| match error {
        IpiError::Offline(offline) => offline,
        IpiError::Encoding(error) => panic!("{error}"),
    })
}
