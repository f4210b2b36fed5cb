//! Each CPU's table of interrupt handlers.
//!
//! The entry code reads the table with single `gs:` accesses and takes no lock. It counts the
//! interrupt, switches to the CPU's interrupt stack if it interrupted a thread, calls the function
//! with interrupts enabled, and then ends the interrupt (EOI). Meanwhile the local APIC itself
//! masks interrupts of the same and lower classes, so higher ones nest and others stay pending.
//!
//! [`tocsin_logic::irq::table`] has the protocol for installing and removing handlers during
//! interrupts.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicI32, AtomicU8, AtomicU64, Ordering};

use tocsin_logic::irq::table::Table;
use tocsin_logic::irq::vectors::{Allocator, EXCEPTIONS, FIXED, VectorSet};
use tocsin_logic::vector::{PriorityClass, Vector, fixed};

use crate::cpu_local::PerCpu;
#[cfg(feature = "bench")]
use crate::fn_cell;
use crate::sync::IrqMutex;

/// An interrupt handler: `context` is the value that was registered with it. It runs on the CPU's
/// interrupt stack with interrupts enabled; the entry code ends the interrupt (EOI) when it
/// returns.
pub type Handler = extern "C" fn(context: usize, vector: u8);

/// The first vector above the exceptions.
pub const FIRST: u8 = 32;

/// Vectors that the local APIC does not deliver, and that take no EOI: the spurious interrupts of
/// the 8259As (IRQ 7 and 15), software interrupts, and the spurious vector (SDM vol. 3A, 12.9).
/// Their functions run with interrupts disabled, on the stack of the code they interrupt. If the
/// local APIC delivers one nevertheless, it is ended, and no function runs.
pub const WITHOUT_EOI: [u8; 4] = numbers(fixed::WITHOUT_EOI);

/// The vector for software interrupts.
pub const SOFTWARE: u8 = fixed::SOFTWARE.get();

/// Vectors for measurements: with the feature `bench`, their stubs jump to the address set by
/// `measured_entry::set_measured`. Two are of class 13, and one is of class 14, the timers' class.
pub const MEASURED: [u8; 3] = numbers(fixed::BENCH_STUBS);

const fn numbers<const N: usize>(vectors: [Vector; N]) -> [u8; N] {
    let mut numbers = [0; N];
    let mut index = 0;
    while index < N {
        numbers[index] = vectors[index].get();
        index += 1;
    }
    numbers
}

/// Vector of #UD, the exception that is measured.
pub const UNDEFINED: u8 = 6;

/// The number of classes, and so more than the maximum nesting depth.
const DEPTHS: usize = 16;

/// The part of a per-CPU block that the entry code uses.
#[repr(C)]
#[derive(Debug)]
pub struct Interrupts {
    /// The number of interrupts being handled, minus 1: -1 in a thread.
    pub(crate) depth: AtomicI32,
    /// The vector of the last interrupt at each nesting depth; 0 at depths that were never reached.
    pub(crate) vectors: [AtomicU8; DEPTHS],
    /// First value of RSP on the interrupt stack.
    pub(crate) stack: AtomicU64,
    /// The stack pointer of the interrupted thread.
    pub(crate) thread_stack: AtomicU64,
    /// The xAPIC's registers, or 0 in x2APIC mode.
    pub(crate) apic_page: AtomicU64,
    pub(crate) table: Table,
    pub(crate) counts: [AtomicU64; 256],
}

impl Interrupts {
    const fn new() -> Self {
        Self {
            depth: AtomicI32::new(-1),
            vectors: [const { AtomicU8::new(0) }; DEPTHS],
            stack: AtomicU64::new(0),
            thread_stack: AtomicU64::new(0),
            apic_page: AtomicU64::new(0),
            table: Table::new(unhandled()),
            counts: [const { AtomicU64::new(0) }; 256],
        }
    }

    /// Sets the interrupt stack, given the address above it.
    pub(crate) fn set_stack(&self, top: u64) {
        self.stack.store(top, Ordering::Relaxed);
    }

    /// Installs `handler` for `vector`, if the vector has none and is not an exception's. Returns
    /// whether it has been installed. Any CPU may call this, in any context.
    #[must_use = "the vector may belong to others"]
    pub(crate) fn install(&self, vector: Vector, handler: Handler, context: usize) -> bool {
        vector.get() >= FIRST && self.table.install(vector, handler as *mut (), context)
    }

    /// Replaces the handler of `vector`, which keeps its context. Returns the previous handler and
    /// the context; `None` if the vector has no handler.
    ///
    /// Context: any (on the CPU itself).
    ///
    /// # Safety
    ///
    /// `handler` must be correct for the context, and the previous handler must be restored for the
    /// vector's owner.
    #[cfg(feature = "bench")]
    pub unsafe fn exchange(&self, vector: Vector, handler: Handler) -> Option<(Handler, usize)> {
        crate::sync::without_interrupts(|| {
            let (function, context) = self.table.lookup(vector);
            if function == unhandled() {
                return None;
            }
            self.table.replace(vector, handler as *mut ());
            // SAFETY: All other functions in the table are `Handler`s.
            Some((unsafe { fn_cell::from_address(function) }, context))
        })
    }

    /// Removes the handler of `vector`: the first step of a removal, once for each installation. An
    /// interrupt that is being handled may still use the context.
    pub(crate) fn begin_removal(&self, vector: Vector) {
        self.table.begin_removal(vector);
    }

    /// Frees `vector`: the last step of a removal. It may be called only after code that ran on the
    /// CPU after [`begin_removal`](Self::begin_removal), with interrupts enabled, has seen the
    /// vector neither requested nor in service.
    pub(crate) fn end_removal(&self, vector: Vector) {
        self.table.end_removal(vector);
    }

    /// Whether `vector` has no handler, and no removal of one is in progress.
    ///
    /// Context: any.
    #[must_use]
    pub fn is_free(&self, vector: u8) -> bool {
        self.table.is_free(Vector(vector))
    }

    /// The number of interrupts on `vector` of this CPU.
    ///
    /// Context: any.
    #[must_use]
    pub fn count(&self, vector: u8) -> u64 {
        self.counts[usize::from(vector)].load(Ordering::Relaxed)
    }

    /// Whether interrupts are being handled now. On this CPU.
    ///
    /// Context: any.
    #[inline]
    #[must_use]
    pub fn is_in_handler(&self) -> bool {
        self.depth.load(Ordering::Relaxed) >= 0
    }

    /// The number of interrupts being handled now.
    ///
    /// Context: any.
    #[must_use]
    pub fn depth(&self) -> u32 {
        level(&self.depth)
    }

    /// The vector of the innermost interrupt that is being handled; `None` in a thread.
    ///
    /// Context: any (on this CPU).
    #[inline]
    #[must_use]
    pub fn innermost(&self) -> Option<Vector> {
        let depth = usize::try_from(self.depth.load(Ordering::Relaxed)).ok()?;
        let vector = self.vectors.get(depth)?;
        Some(Vector(vector.load(Ordering::Relaxed)))
    }

    /// The vector of the interrupt that the innermost one has interrupted; `None` if that is a
    /// thread.
    ///
    /// Context: any (in a handler, on this CPU).
    #[must_use]
    pub fn interrupted(&self) -> Option<Vector> {
        let depth = usize::try_from(self.depth.load(Ordering::Relaxed)).ok()?;
        let vector = self.vectors.get(depth.checked_sub(1)?)?;
        Some(Vector(vector.load(Ordering::Relaxed)))
    }

    /// The maximum number of interrupts that have been handled at once.
    ///
    /// Context: any.
    #[must_use]
    pub fn max_depth(&self) -> u32 {
        let reached = |vector: &AtomicU8| vector.load(Ordering::Relaxed) != 0;
        let deepest = self.vectors.iter().rposition(reached);
        deepest.map_or(0, |index| index as u32 + 1)
    }
}

crate::cpu_local! {
    /// The interrupt table and counts of each CPU.
    pub static INTERRUPTS: Interrupts = Interrupts::new();

    /// The allocator of each CPU's vectors. The interrupt path does not use it.
    pub(crate) static VECTORS: IrqMutex<Allocator> = IrqMutex::new(Allocator::new(FIXED));
}

unsafe extern "C" {
    /// In `trap::interrupt`.
    fn entry_unhandled();
}

/// The table entry of a vector without a handler. Only the entry code may call it.
pub(crate) const fn unhandled() -> *mut () {
    entry_unhandled as *mut ()
}

/// The number of interrupts from a stored number, which is 1 less.
fn level(depth: &AtomicI32) -> u32 {
    (depth.load(Ordering::Relaxed) + 1).unsigned_abs()
}

/// All per-CPU blocks, and the state that each new one gets.
struct Shared {
    blocks: Vec<PerCpu>,
    /// Vectors reserved by callers.
    reserved: VectorSet,
    on_all_cpus: Vec<(Vector, Handler)>,
}

static SHARED: IrqMutex<Shared> = IrqMutex::new(Shared {
    blocks: Vec::new(),
    reserved: VectorSet::EMPTY,
    on_all_cpus: Vec::new(),
});

/// The reason why a vector cannot be reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReserveError {
    /// The vector belongs to the processor or the kernel.
    Fixed(Vector),
    /// The vector belongs to a line, or is reserved already.
    InUse {
        /// The vector.
        vector: Vector,
        /// The number of the first CPU on which it is in use.
        cpu: u32,
    },
    /// No vector of the class is free on all CPUs.
    Exhausted(PriorityClass),
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(vector) => write!(
                f,
                "vectors: {vector}: reserved for {} (choose one of the classes 3 to 13; \
                 `irqs` shows those in use)",
                if vector.get() < FIRST {
                    "the processor's exceptions"
                } else {
                    "the kernel"
                }
            ),
            Self::InUse { vector, cpu } => write!(
                f,
                "vectors: {vector}: in use on CPU {cpu}, by a line or an earlier reservation \
                 (choose another one; `lines` and `irqs` show those in use)"
            ),
            Self::Exhausted(class) => write!(
                f,
                "vectors: class {class}: no vector is free on all CPUs (ask for another class)"
            ),
        }
    }
}

impl core::error::Error for ReserveError {}

/// Takes a vector from the lines permanently, on all CPUs, including those that come online later.
///
/// # Errors
///
/// [`ReserveError`]; then nothing has changed.
pub(crate) fn reserve(vector: Vector) -> Result<(), ReserveError> {
    let mut shared = SHARED.lock();
    if FIXED.with(EXCEPTIONS).contains(vector) {
        return Err(ReserveError::Fixed(vector));
    }
    for (index, &block) in shared.blocks.iter().enumerate() {
        if VECTORS.of(block).lock().claim(vector, 1).is_err() {
            for &block in &shared.blocks[..index] {
                // The vectors that were just claimed.
                let _ = VECTORS.of(block).lock().free(vector);
            }
            let cpu = block.id();
            return Err(ReserveError::InUse { vector, cpu });
        }
    }
    shared.reserved.insert(vector);
    Ok(())
}

/// The vectors that are free on all CPUs.
pub(crate) fn free_on_all_cpus() -> VectorSet {
    let shared = SHARED.lock();
    let all = shared.blocks.iter();
    all.fold(VectorSet::ALL, |free, &block| {
        let available = VECTORS.of(block).lock().available();
        free.without(VectorSet::ALL.without(available))
    })
}

/// Registers `handler` for `vector` on all CPUs, including those that come online later. It
/// replaces a handler registered before; no interrupt is unhandled during the change. The vector is
/// one of the kernel's own, or reserved: no line gets it.
///
/// # Panics
///
/// If the vector is neither, or has another kind of handler on a CPU: a bug in the kernel.
pub(crate) fn register(vector: Vector, handler: Handler) {
    let mut shared = SHARED.lock();
    assert!(
        FIXED.with(shared.reserved).contains(vector),
        "vector {vector} is registered without a reservation"
    );
    let known = shared.on_all_cpus.iter().position(|it| it.0 == vector);
    let mut refused = None;
    if let Some(index) = known {
        shared.on_all_cpus[index].1 = handler;
        for &block in &shared.blocks {
            INTERRUPTS
                .of(block)
                .table
                .replace(vector, handler as *mut ());
        }
    } else {
        shared.on_all_cpus.push((vector, handler));
        let mut blocks = shared.blocks.iter();
        refused = blocks.find(|&&block| !INTERRUPTS.of(block).install(vector, handler, 0));
    }
    let refused = refused.map(|block| block.id());
    // Unlocked first, because the panic report may need the list.
    drop(shared);
    assert!(
        refused.is_none(),
        "vector {vector} has a handler on CPU {refused:?}, or is an exception's"
    );
}

/// Adds a per-CPU block: it gets the handlers that all CPUs have.
pub(crate) fn add_cpu(block: PerCpu) {
    let mut shared = SHARED.lock();
    for vector in shared.reserved {
        let claimed = VECTORS.of(block).lock().claim(vector, 1);
        debug_assert!(claimed.is_ok(), "a new CPU has lines already");
    }
    let mut all = shared.on_all_cpus.iter();
    let installed = all.all(|&(vector, handler)| INTERRUPTS.of(block).install(vector, handler, 0));
    shared.blocks.push(block);
    drop(shared);
    assert!(installed, "a new CPU has handlers already");
}

/// All per-CPU blocks, in the order of their numbers.
///
/// Context: any but NMI.
#[must_use]
pub fn all_cpus() -> Vec<PerCpu> {
    SHARED.lock().blocks.clone()
}

/// Sets how this CPU's entry code ends interrupts: through the xAPIC's registers at this virtual
/// address, or, with 0, in x2APIC mode.
pub(crate) fn set_apic_page(page: u64) {
    INTERRUPTS.here().apic_page.store(page, Ordering::Relaxed);
}

/// The number of interrupts on `vector` of the calling CPU without a handler.
///
/// Context: any.
#[must_use]
pub fn unhandled_count(vector: u8) -> u64 {
    let interrupts = INTERRUPTS.here();
    if interrupts.is_free(vector) {
        interrupts.count(vector)
    } else {
        0
    }
}
