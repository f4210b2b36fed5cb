//! Vectors of level-triggered inputs.
//!
//! An EOI identifies only a vector: it ends the interrupts of all inputs with that vector, on any
//! CPU (82093AA data sheet, 3.2.4; SDM vol. 3A, 12.8.5). If two inputs share a vector, the EOI of
//! the first clears the remote IRR of the second, whose still-asserted level is then sent again: a
//! spurious interrupt. In addition, code that waits for the EOI of the second sees it too early.
//! All CPUs allocate their vectors in the same order, so without this module sharing would be the
//! rule.

use super::{Allocator, Exhausted, VectorSet};
use crate::vector::{PriorityClass, Vector};

/// The vectors of all level-triggered inputs of the machine. Like an [`Allocator`], it must be
/// protected by a lock.
#[derive(Clone, Debug)]
pub struct Levels {
    /// Number of inputs with each vector.
    inputs: [u16; 256],
}

impl Default for Levels {
    fn default() -> Self {
        Self::new()
    }
}

impl Levels {
    /// No vector is in use.
    #[must_use]
    pub const fn new() -> Self {
        Self { inputs: [0; 256] }
    }

    /// Allocates `count` vectors of `class` from a CPU's, as [`Allocator::allocate_block`] does,
    /// for an input that uses the first. No other input on any CPU has that vector, unless the CPU
    /// has no such vector left: sharing is then better than failing.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if the CPU has no such block.
    pub fn allocate(
        &mut self,
        cpu: &mut Allocator,
        class: PriorityClass,
        count: u8,
    ) -> Result<Vector, Exhausted> {
        let own = cpu.available().without(self.vectors());
        let first = match own.find_block(class, count) {
            Some(first) if cpu.claim(first, count).is_ok() => first,
            _ => cpu.allocate_block(class, count)?,
        };
        self.inputs[usize::from(first.get())] += 1;
        Ok(first)
    }

    /// Releases an input's use of this vector. The CPU's [`Allocator`] is not changed.
    pub fn release(&mut self, vector: Vector) {
        let inputs = &mut self.inputs[usize::from(vector.get())];
        *inputs = inputs.saturating_sub(1);
    }

    /// The vectors that inputs use.
    #[must_use]
    pub fn vectors(&self) -> VectorSet {
        let all = (0..=u8::MAX).zip(&self.inputs);
        all.filter(|(_, inputs)| **inputs > 0)
            .map(|(vector, _)| Vector(vector))
            .collect()
    }
}
