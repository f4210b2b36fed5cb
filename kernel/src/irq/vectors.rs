//! Vectors of the caller's own, the same on all CPUs.
//!
//! ```ignore
//! let tick = vectors::reserve_in(PriorityClass::new(7).unwrap())?;
//! tick.set_handler(on_tick);
//! ipi::send(tick, Targets::Others)?;
//! ```
//!
//! Lines do not need this: each takes its vectors itself, on its own CPU. A reservation is for IPIs that
//! several CPUs handle alike, and for a number that must be known in advance.

use tocsin_logic::vector::{PriorityClass, Vector};

use crate::cpu::interrupts::{self, Handler};

pub use crate::cpu::interrupts::ReserveError;

/// A vector that belongs to the caller on all CPUs, for good: no line gets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedVector(Vector);

/// Reserves a vector on all CPUs.
///
/// Context: any but NMI.
///
/// # Errors
///
/// [`ReserveError`], if it is an exception's, the kernel's, a line's, or reserved already. The kernel has
/// the classes 2, 14 and 15 and some vectors of others.
pub fn reserve(vector: Vector) -> Result<ReservedVector, ReserveError> {
    interrupts::reserve(vector)?;
    Ok(ReservedVector(vector))
}

/// Reserves any vector of a class on all CPUs.
///
/// Context: any but NMI.
///
/// # Errors
///
/// [`ReserveError::Exhausted`], if none is free on all CPUs.
pub fn reserve_in(class: PriorityClass) -> Result<ReservedVector, ReserveError> {
    loop {
        let free = interrupts::free_everywhere();
        let vector = free
            .find_block(class, 1)
            .ok_or(ReserveError::Exhausted(class))?;
        // A line may have taken it since.
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

    /// Makes `handler` handle the vector on all CPUs, instead of the one before, if there was one. No
    /// interrupt goes unhandled meanwhile. Until the first call, interrupts of the vector are counted as
    /// unhandled.
    ///
    /// Context: any but NMI.
    pub fn set_handler(self, handler: Handler) {
        interrupts::register(self.0, handler);
    }
}
