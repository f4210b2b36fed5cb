//! A CPU's table of handlers, changed while interrupts arrive.
//!
//! A [`Table`] belongs to one CPU, its *owner*: only the owner's entry code looks up and
//! runs handlers. Any CPU may install and remove. The way in takes no lock, no fence and
//! no locked instruction, and looks at nothing but two words of the vector:
//!
//! ```text
//! owner, IF = 0     load the function, then the context
//!        IF = 1     call the function with the context
//!        IF = 0     EOI, iretq
//! ```
//!
//! A vector without a handler has the function `unhandled`, so the entry code never asks
//! whether there is one.
//!
//! Removing, on any CPU:
//!
//! 1. The source is masked.
//! 2. [`begin_removal`](Table::begin_removal): who looks up later finds `unhandled`.
//! 3. **The owner looks**, in an interrupt of its own (a call by IPI), whether the vector
//!    is in its IRR or ISR. Until it is in neither, it is asked again.
//! 4. [`end_removal`](Table::end_removal) lets others have the vector. Nobody can be running the
//!    handler or see its context any more: the context may be freed.
//!
//! Why that is enough: the look cannot come between a lookup and the handler, where
//! interrupts are off. So a lookup that found the handler came before the look, and then
//! the vector is in the ISR until the handler has returned; or it came after, and then it
//! found what step 2 left. What the owner did before the look, the remover sees. The IRR
//! is looked at because an interrupt of the old handler would otherwise go to
//! the vector's next one.
//!
//! An owner that loads a handler's function and then its context has interrupts off between
//! the two. Another context is stored only after step 4, so both are of one installation.
//!
//! While the remover waits, it must itself answer such looks, or two CPUs that remove each
//! other's handlers wait for ever. For the same reason a handler cannot wait for the end of its
//! own removal. The owner itself, in a thread with CR8 = 0 and interrupts on, has nothing in
//! service: once the source is masked, it may leave step 3 out.

use super::sync::{AtomicBool, AtomicPtr, AtomicUsize, Ordering, array, const_fn};
use crate::vector::Vector;
use core::mem::offset_of;
use core::ptr;

/// The functions and contexts of a CPU's vectors 0 to `N` - 1.
#[derive(Debug)]
#[repr(C)]
pub struct Table<const N: usize = 256> {
    functions: [AtomicPtr<()>; N],
    contexts: [AtomicUsize; N],
    /// Set from the installation to the end of the removal. Only those who install and
    /// remove look at it.
    taken: [AtomicBool; N],
    unhandled: AtomicPtr<()>,
}

impl<const N: usize> Table<N> {
    /// How many bytes from the table's start the functions are, 8 bytes each in the order
    /// of the vectors: for code in assembly.
    pub const FUNCTIONS: usize = offset_of!(Self, functions);
    /// The same of the contexts.
    pub const CONTEXTS: usize = offset_of!(Self, contexts);

    const_fn! {
        /// A table in which `unhandled` answers all vectors, with the context 0.
        #[must_use]
        pub fn new(unhandled: *mut ()) -> Self {
            let mut functions = array![AtomicPtr::new(ptr::null_mut()); N];
            let mut at = 0;
            while at < N {
                functions[at] = AtomicPtr::new(unhandled);
                at += 1;
            }
            Self {
                functions,
                contexts: array![AtomicUsize::new(0); N],
                taken: array![AtomicBool::new(false); N],
                unhandled: AtomicPtr::new(unhandled),
            }
        }
    }

    /// Makes `function`, with `context`, answer `vector`, if nobody does. Returns whether it
    /// does now. From any CPU, in any context.
    ///
    /// Whatever the caller wrote before, the function sees.
    #[must_use = "the vector may belong to others"]
    pub fn install(&self, vector: Vector, function: *mut (), context: usize) -> bool {
        let at = usize::from(vector.get());
        // Acquire: the last handler's end comes before the new context.
        let taken =
            self.taken[at].compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_ok() {
            self.contexts[at].store(context, Ordering::Relaxed);
            // Release: who finds the function finds its context too.
            self.functions[at].store(function, Ordering::Release);
        }
        taken.is_ok()
    }

    /// Puts another function in the place of the one that answers `vector`, which keeps its
    /// context. No interrupt goes unanswered meanwhile; one that is being answered still
    /// uses the old function. Only for the owner of the installation.
    pub fn replace(&self, vector: Vector, function: *mut ()) {
        self.functions[usize::from(vector.get())].store(function, Ordering::Release);
    }

    /// Leaves `vector` to nobody, but still taken: the second step of a removal. Only for the
    /// owner of the installation, once.
    pub fn begin_removal(&self, vector: Vector) {
        let at = usize::from(vector.get());
        // The look orders it.
        self.functions[at].store(self.unhandled.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Lets others have `vector`: the last step of a removal, after the look.
    pub fn end_removal(&self, vector: Vector) {
        // Release: the handler's end comes before the next installation.
        self.taken[usize::from(vector.get())].store(false, Ordering::Release);
    }

    /// Whether `vector` can be had. A hint: another CPU may be faster.
    #[must_use]
    pub fn is_free(&self, vector: Vector) -> bool {
        !self.taken[usize::from(vector.get())].load(Ordering::Relaxed)
    }

    /// The function and the context, as the entry code loads them. Only on the owner, with
    /// its interrupts off from the gate until after this.
    #[inline]
    #[must_use]
    pub fn lookup(&self, vector: Vector) -> (*mut (), usize) {
        let at = usize::from(vector.get());
        // Acquire, an ordinary load on x86, as in the entry code.
        let function = self.functions[at].load(Ordering::Acquire);
        (function, self.contexts[at].load(Ordering::Relaxed))
    }
}
