//! Having CPUs look for something else to run: what a scheduler needs of other CPUs.
//!
//! ```ignore
//! reschedule::set_hook(|| my_scheduler::current_cpu().look_again());
//! my_scheduler::of(cpu).enqueue(task);
//! reschedule::send(cpu)?;
//! ```
//!
//! The hook runs when nothing else is in service on the CPU, so what it finds interrupted is a thread.
//! Signals that come before it runs are one; one that comes while it runs makes it run again.

use super::ipi::{self, IpiError, Offline, Targets};

pub use crate::smp::reschedule::{Hook, VECTOR, set_hook};

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
