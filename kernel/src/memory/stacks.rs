//! Stacks with guard pages, at addresses that say whose they are.
//!
//! `tocsin_logic::layout` gives each CPU and kind its slot; the page below each stack stays
//! unmapped, so that an overflow faults instead of running into a neighbour, and the
//! report can name the stack from the address alone.

use tocsin_logic::layout::{StackKind, stack_range};

use super::{MemoryError, paging};

/// Maps all stacks of CPU number `cpu`.
///
/// # Errors
///
/// [`MemoryError`], if frames run out, or the CPU has its stacks already.
pub fn allocate(cpu: u32) -> Result<(), MemoryError> {
    for kind in StackKind::ALL {
        paging::map_new(stack_range(cpu, kind))?;
    }
    Ok(())
}
