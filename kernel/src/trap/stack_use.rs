//! The use of the interrupt stacks, and its bound.
//!
//! `tocsin_logic::irq::stack` defines the bound, and the stacks are large enough for it. The words
//! that handlers have written show the actual use.

use core::sync::atomic::Ordering;

use tocsin_logic::irq::stack::{ENTRY, HANDLER, of_handlers};
use tocsin_logic::layout::StackKind;

use crate::cpu::handlers::INTERRUPTS;
use crate::cpu_local::PerCpu;
use crate::memory::stacks;

/// Number of words below the bound that [`check`] reads: a handler that exceeds the bound leaves no
/// gap of this size.
const CHECKED_WORDS: u64 = 16;

/// The use of one CPU's interrupt stack by its handlers.
#[derive(Clone, Copy, Debug)]
pub struct StackUse {
    /// The maximum nesting depth of handlers.
    pub depth: u32,
    /// The maximum number of bytes in use at once.
    pub used: u64,
    /// The maximum number of bytes that handlers of this depth may use.
    pub bound: u64,
}

impl StackUse {
    /// The stack use of this CPU.
    ///
    /// Context: any.
    #[must_use]
    pub fn of(cpu: PerCpu) -> Self {
        let depth = INTERRUPTS.of(cpu).max_depth();
        Self {
            depth,
            used: stacks::used(cpu.id(), StackKind::Interrupt),
            bound: of_handlers(depth),
        }
    }

    /// Whether a handler has certainly used more than [`HANDLER`] bytes.
    ///
    /// Context: any.
    #[must_use]
    pub fn exceeds_bound(&self) -> bool {
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

/// Checks that the handlers of this CPU observe the bound: those below the calling one now, and all
/// so far. For debug builds, before an EOI: interrupts off, on the interrupt stack.
///
/// # Panics
///
/// If they exceed it.
pub(crate) fn check(cpu: PerCpu) {
    let here = 0_u8;
    let top = INTERRUPTS.of(cpu).stack.load(Ordering::Relaxed);
    let now = top - &raw const here as u64;
    let depth = INTERRUPTS.of(cpu).depth();
    let bound = u64::from(depth) * (ENTRY + HANDLER);
    assert!(
        now <= bound,
        "{now} bytes of interrupt stack are in use at depth {depth}, where {bound} are the bound: a \
         handler beneath this one takes more than the {HANDLER} that it may"
    );
    let below = top - of_handlers(INTERRUPTS.of(cpu).max_depth());
    let is_unused = (1..=CHECKED_WORDS).all(|word| {
        let address = (below - word * 8) as *const u64;
        // SAFETY: The stack is completely mapped, otherwise this code would not run. According to
        // `layout`, it has room for more than the bound of any depth. Interrupts are disabled, so
        // nothing writes there meanwhile.
        unsafe { address.read_volatile() == 0 }
    });
    assert!(is_unused, "{}", StackUse::of(cpu));
}
