//! The reschedule IPI: makes a CPU run its scheduler.
//!
//! Its class is the lowest, so the CPU handles it when no other interrupt is in service: it
//! interrupts a thread, never a handler. Several IPIs that arrive before the CPU handles one merge
//! into one (SDM vol. 3A, 12.8.4). A CPU in `hlt` wakes. Without a hook, the entry code does no
//! more than that.
//!
//! ```no_run
//! # use tocsin::ipi::reschedule;
//! # mod scheduler { pub fn run() {} pub fn enqueue(_cpu: u32, _task: u32) {} }
//! # let (cpu, task) = (1, 7);
//! reschedule::set_hook(scheduler::run);
//! scheduler::enqueue(cpu, task);
//! reschedule::send(cpu)?;
//! ```
//!
//! An IPI that arrives while the hook runs makes it run again.

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::vector::{Vector, fixed};

use crate::apic;
use crate::cpu::handlers;
use crate::ipi::{self, IpiError, Offline, Targets};
use crate::smp::Online;
use crate::trap::leaf::RESCHEDULE;

/// The vector of the reschedule IPI.
pub const VECTOR: Vector = fixed::RESCHEDULE;

/// The hook that runs on a CPU that receives the IPI: in class 2, on its interrupt stack,
/// interrupts enabled.
pub type Hook = fn();

/// Registers the handler. Called once, before other CPUs run.
pub(crate) fn set_up() {
    handlers::register(VECTOR, handle);
}

/// Sets the hook that runs on a CPU when it receives the IPI. Replaces an earlier hook.
///
/// Context: any.
pub fn set_hook(hook: Hook) {
    RESCHEDULE.replace(Some(hook));
}

/// Sends the IPI to one CPU, whose handler sees all stores that precede the send.
pub(super) fn signal(target: &Online) {
    apic::local()
        .send_fixed(VECTOR, Destination::Physical(target.apic_id))
        .expect("the ID of a CPU that is online fits the mode");
}

extern "C" fn handle(_: usize, _: u8) {
    if let Some(hook) = RESCHEDULE.get() {
        hook();
    }
}

/// Sends the reschedule IPI to CPUs, which may include the caller.
///
/// The hook sees all stores that precede the send.
///
/// Context: any.
///
/// # Errors
///
/// [`Offline`], if one of the CPUs is not online. Then no IPI is sent.
///
/// # Panics
///
/// If the local APIC rejects the vector, which is valid.
pub fn send<'a>(targets: impl Into<Targets<'a>>) -> Result<(), Offline> {
    ipi::send_vector(VECTOR, targets).map_err(|error| match error {
        IpiError::Offline(offline) => offline,
        IpiError::Encoding(error) => panic!("{error}"),
    })
}
