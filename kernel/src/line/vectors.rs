//! Allocation of vectors for lines. Vectors of level-triggered inputs also depend on each other,
//! across all CPUs: see [`Levels`].

use crate::cpu::handlers::VECTORS;
use tocsin_logic::irq::vectors::{Exhausted, Levels};
use tocsin_logic::vector::{PriorityClass, Vector};

use crate::smp::Online;
use crate::sync::IrqMutex;

/// Must be locked before a CPU's vectors.
static LEVELS: IrqMutex<Levels> = IrqMutex::new(Levels::new());

/// Allocates `count` vectors of a class, for a level-triggered input or another source.
pub(super) fn allocate(
    online: &Online,
    class: PriorityClass,
    count: u8,
    is_level: bool,
) -> Result<Vector, Exhausted> {
    if is_level {
        let mut levels = LEVELS.lock();
        return levels.allocate(&mut VECTORS.of(online.cpu).lock(), class, count);
    }
    VECTORS.of(online.cpu).lock().allocate_block(class, count)
}

/// Frees vectors that [`allocate`] allocated, or that were claimed for a source other than a
/// level-triggered input.
pub(super) fn free(online: &Online, first: Vector, count: u8, is_level: bool) {
    if is_level {
        LEVELS.lock().release(first);
    }
    let freed = VECTORS.of(online.cpu).lock().free_block(first, count);
    debug_assert!(freed.is_ok(), "the vectors were the line's");
}
