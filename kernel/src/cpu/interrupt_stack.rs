//! How much of the interrupt stacks is used, and how much may be.
//!
//! `tocsin_logic::irq::stack` has the bound, for which the stacks are large enough; that handlers keep
//! to it is seen from the words that they have written.

use core::sync::atomic::Ordering;

use tocsin_logic::irq::stack::{ENTRY, HANDLER, of_handlers};
use tocsin_logic::layout::StackKind;

use super::percpu::PerCpu;
use crate::memory::stacks;

/// Words below the bound that [`check`] looks at: a handler that crosses it leaves no gap as large.
const LOOKED_AT: u64 = 16;

/// What the handlers of one CPU have used of its interrupt stack.
#[derive(Clone, Copy, Debug)]
pub struct StackUse {
    /// How many handlers have been inside each other at most.
    pub depth: u32,
    /// The most bytes that have been used at once.
    pub used: u64,
    /// How many so many handlers may use.
    pub bound: u64,
}

impl StackUse {
    /// Of this CPU.
    ///
    /// Context: any.
    #[must_use]
    pub fn of(cpu: &PerCpu) -> Self {
        let depth = cpu.interrupts.max_depth();
        Self {
            depth,
            used: stacks::used(cpu.id(), StackKind::Interrupt),
            bound: of_handlers(depth),
        }
    }

    /// Whether a handler must have used more than [`HANDLER`] bytes.
    ///
    /// Context: any.
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

/// Checks that the handlers of this CPU keep to the bound, those beneath the calling one now and all so
/// far. For debug builds, before an EOI: interrupts off, on the interrupt stack.
///
/// # Panics
///
/// If they do not.
pub(super) fn check(cpu: &PerCpu) {
    let here = 0_u8;
    let top = cpu.interrupts.stack.load(Ordering::Relaxed) + 8;
    let now = top - &raw const here as u64;
    let depth = cpu.interrupts.depth();
    let bound = u64::from(depth) * (ENTRY + HANDLER);
    assert!(
        now <= bound,
        "{now} bytes of interrupt stack are in use at depth {depth}, where {bound} are the bound: a \
         handler beneath this one takes more than the {HANDLER} that it may"
    );
    let below = top - of_handlers(cpu.interrupts.max_depth());
    let is_unused = (1..=LOOKED_AT).all(|word| {
        let address = (below - word * 8) as *const u64;
        // SAFETY: 1. The stack is mapped whole, or this would not run. 2. It has room for more than the
        // bound of any depth, says `layout`. 3. Interrupts are off: nothing writes there meanwhile.
        unsafe { address.read_volatile() == 0 }
    });
    assert!(is_unused, "{}", StackUse::of(cpu));
}
