//! The handler table of a CPU, changed while interrupts arrive.
//!
//! A [`Table`] belongs to one CPU, its *owner*: only the owner's entry code looks up and runs
//! handlers. Any CPU may install and remove them. The entry path takes no lock, executes no fence
//! and no locked instruction, and reads only two words of the vector:
//!
//! ```text
//! owner, IF = 0     load the function, then the context
//!        IF = 1     call the function with the context
//!        IF = 0     EOI, iretq
//! ```
//!
//! A vector without a handler has the function `unhandled`, so the entry code needs no check.
//!
//! The removal, on any CPU:
//!
//! 1. The source is masked.
//! 2. [`begin_removal`](Table::begin_removal): later lookups find `unhandled`.
//! 3. **The owner checks**, in an interrupt of its own (a call by IPI), whether the vector is in
//!    its IRR or ISR. The check is repeated until it is in neither.
//! 4. [`end_removal`](Table::end_removal) makes the vector available. No CPU can be running the
//!    handler or access its context any more: the context may be freed.
//!
//! This is sufficient because the check cannot run between a lookup and the handler, where
//! interrupts are disabled. So a lookup that found the handler came before the check, and then the
//! vector is in the ISR until the handler has returned; or it came after the check, and then it
//! found the result of step 2. The remover sees everything that the owner did before the check. The
//! IRR is checked because an interrupt of the old handler would otherwise be delivered to the
//! vector's next one.
//!
//! The owner loads a handler's function and then its context with interrupts disabled between the
//! two. Another context is stored only after step 4, so both belong to the same binding.
//!
//! While the remover waits, it must itself serve such checks, or two CPUs that remove each other's
//! handlers deadlock. For the same reason a handler cannot wait for its own removal. The owner
//! itself, in a thread with CR8 = 0 and interrupts enabled, has no interrupt in service: once the
//! source is masked, it may omit step 3.

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
    /// Set from the installation to the end of the removal. Only code that installs and removes
    /// reads it.
    taken: [AtomicBool; N],
    unhandled: AtomicPtr<()>,
}

impl<const N: usize> Table<N> {
    /// Offset of the functions from the start of the table in bytes, 8 bytes each in the order of
    /// the vectors: for assembly code.
    pub const FUNCTIONS: usize = offset_of!(Self, functions);
    /// Offset of the contexts, in the same format.
    pub const CONTEXTS: usize = offset_of!(Self, contexts);

    const_fn! {
        /// A table in which `unhandled` handles all vectors, with the context 0.
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

    /// Binds `vector` to `function` with `context`, if it has no handler. Returns whether the
    /// binding was made. From any CPU, in any context.
    ///
    /// The function sees all earlier writes of the caller.
    #[must_use = "the vector may belong to others"]
    pub fn install(&self, vector: Vector, function: *mut (), context: usize) -> bool {
        let at = usize::from(vector.get());
        // Acquire: the end of the previous handler comes before the new context.
        let taken =
            self.taken[at].compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_ok() {
            self.contexts[at].store(context, Ordering::Relaxed);
            // Release: a CPU that finds the function finds its context too.
            self.functions[at].store(function, Ordering::Release);
        }
        taken.is_ok()
    }

    /// Replaces the function that handles `vector`; the context stays. No interrupt is lost
    /// meanwhile; one that is being handled still uses the old function. Only for the owner of the
    /// binding.
    pub fn replace(&self, vector: Vector, function: *mut ()) {
        self.functions[usize::from(vector.get())].store(function, Ordering::Release);
    }

    /// Removes the handler of `vector`, which stays allocated: the second step of a removal. Only
    /// for the owner of the binding, once.
    pub fn begin_removal(&self, vector: Vector) {
        let at = usize::from(vector.get());
        // The owner's check orders this store.
        self.functions[at].store(self.unhandled.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Makes `vector` available: the last step of a removal, after the check.
    pub fn end_removal(&self, vector: Vector) {
        // Release: the end of the handler comes before the next installation.
        self.taken[usize::from(vector.get())].store(false, Ordering::Release);
    }

    /// Whether `vector` is available. A hint: another CPU may be faster.
    #[must_use]
    pub fn is_free(&self, vector: Vector) -> bool {
        !self.taken[usize::from(vector.get())].load(Ordering::Relaxed)
    }

    /// The function and the context, as the entry code loads them. Only on the owner, with its
    /// interrupts disabled from the interrupt gate until after this.
    #[inline]
    #[must_use]
    pub fn lookup(&self, vector: Vector) -> (*mut (), usize) {
        let at = usize::from(vector.get());
        // Acquire, an ordinary load on x86, as in the entry code.
        let function = self.functions[at].load(Ordering::Acquire);
        (function, self.contexts[at].load(Ordering::Relaxed))
    }
}
