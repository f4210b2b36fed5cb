//! Reserved vectors, which are the same on all CPUs.
//!
//! ```no_run
//! # use tocsin::prelude::*;
//! # extern "C" fn on_tick(_: usize, _: u8) {}
//! let tick = vectors::reserve_in(PriorityClass::new(7).unwrap())?;
//! tick.set_handler(on_tick);
//! ipi::send(tick, Targets::Others)?;
//! ```
//!
//! Lines do not need reservations: each allocates its vectors on its own CPU. A reservation is for
//! an IPI that several CPUs handle alike, or for a vector whose number must be fixed in advance.

use tocsin_logic::vector::{PriorityClass, Vector};

use crate::cpu::handlers::{self, Handler};

pub use crate::cpu::handlers::ReserveError;

/// A vector that belongs to the caller on all CPUs, permanently: no line gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedVector(Vector);

/// Reserves a vector on all CPUs.
///
/// Context: any but NMI.
///
/// # Errors
///
/// [`ReserveError`], if the vector belongs to an exception, the kernel or a line, or is reserved
/// already. The kernel owns classes 2, 14 and 15 and some vectors of other classes.
pub fn reserve(vector: Vector) -> Result<ReservedVector, ReserveError> {
    handlers::reserve(vector)?;
    Ok(ReservedVector(vector))
}

/// Reserves a vector of a class on all CPUs.
///
/// Context: any but NMI.
///
/// # Errors
///
/// [`ReserveError::Exhausted`], if no vector of the class is free on all CPUs.
pub fn reserve_in(class: PriorityClass) -> Result<ReservedVector, ReserveError> {
    loop {
        let free = handlers::free_on_all_cpus();
        let vector = free
            .find_block(class, 1)
            .ok_or(ReserveError::Exhausted(class))?;
        // A line may have taken the vector in the meantime.
        if let Ok(reserved) = reserve(vector) {
            return Ok(reserved);
        }
    }
}

impl ReservedVector {
    /// The vector.
    ///
    /// Context: any.
    #[must_use]
    pub fn get(self) -> Vector {
        self.0
    }

    /// Sets the handler of the vector on all CPUs. Replaces an earlier one; no interrupt is
    /// unhandled during the change. Before the first call, interrupts with the vector are counted
    /// as unhandled.
    ///
    /// Context: any but NMI.
    pub fn set_handler(self, handler: Handler) {
        handlers::register(self.0, handler);
    }
}
