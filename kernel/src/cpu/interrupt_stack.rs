//! How much of the interrupt stacks is used, and how much may be.
//!
//! `tocsin_logic::irq::stack` has the bound, for which the stacks are large enough; that handlers keep
//! to it is seen from the words that they have written.

use tocsin_logic::irq::stack::{HANDLER, of_handlers};
use tocsin_logic::layout::StackKind;

use super::percpu::PerCpu;
use crate::memory::stacks;

/// What the handlers of one CPU have used of its interrupt stack.
#[derive(Clone, Copy, Debug)]
pub struct StackUse {
    /// How many handlers have been inside each other at most; 1 if none ever were.
    pub depth: u32,
    /// The most bytes that have been used at once.
    pub used: u64,
    /// How many so many handlers may use.
    pub bound: u64,
}

impl StackUse {
    /// Of this CPU.
    #[must_use]
    pub fn of(cpu: &PerCpu) -> Self {
        let depth = cpu.interrupts.depth().1.max(1);
        Self {
            depth,
            used: stacks::used(cpu.id(), StackKind::Interrupt),
            bound: of_handlers(depth),
        }
    }

    /// Whether a handler must have used more than [`HANDLER`] bytes.
    #[must_use]
    pub fn is_too_much(&self) -> bool {
        self.used > self.bound
    }
}

impl core::fmt::Display for StackUse {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { depth, used, bound } = self;
        write!(
            f,
            "{used} bytes of interrupt stack used at depth {depth}, where {bound} are the bound: \
             a handler takes more than the {HANDLER} that it may"
        )
    }
}
