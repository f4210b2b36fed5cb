//! Which vectors level-triggered inputs have.
//!
//! An EOI names nothing but a vector: it ends the interrupts of all inputs that have it, on whichever CPU
//! (82093AA data sheet, 3.2.4; SDM vol. 3A, 12.8.5). If two share one, the end of the first clears the
//! remote IRR of the second, whose level, still asserted, is sent again: an interrupt without a reason. And
//! who waits for the end of the second is told of it too early. Each CPU gives out its vectors in the same
//! order, so two would share one as a rule.

use super::{Allocator, Exhausted, VectorSet};
use crate::vector::{PriorityClass, Vector};

/// The vectors of all level-triggered inputs of the machine. Like an [`Allocator`], it belongs under a
/// lock.
#[derive(Clone, Debug)]
pub struct Levels {
    /// How many inputs have each vector.
    inputs: [u16; 256],
}

impl Default for Levels {
    fn default() -> Self {
        Self::new()
    }
}

impl Levels {
    /// No input has any.
    #[must_use]
    pub const fn new() -> Self {
        Self { inputs: [0; 256] }
    }

    /// Gives out `count` vectors of `class` from a CPU's, as [`Allocator::allocate_block`] does, for an
    /// input that interrupts with the first. It is one that no other input has, on any CPU, unless the CPU
    /// has none left: then it is better to share than to do without.
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

    /// An input has this vector no more. The CPU's own account is another thing.
    pub fn release(&mut self, vector: Vector) {
        let inputs = &mut self.inputs[usize::from(vector.get())];
        *inputs = inputs.saturating_sub(1);
    }

    /// The vectors that any input has.
    #[must_use]
    pub fn vectors(&self) -> VectorSet {
        let all = (0..=u8::MAX).zip(&self.inputs);
        all.filter(|(_, inputs)| **inputs > 0)
            .map(|(vector, _)| Vector(vector))
            .collect()
    }
}
