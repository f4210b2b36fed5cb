//! One entry of a CPU's table of handlers, changed while interrupts arrive.
//!
//! A slot belongs to one CPU, its *owner*: only the owner looks up and runs the
//! handler. Any CPU may install and remove. The way in takes no lock, no fence
//! and no locked instruction:
//!
//! ```text
//! owner, IF = 0     enter()          one store
//!                   lookup()         two loads
//!        IF = 1     the handler
//!        IF = 0     leave()          one store
//! ```
//!
//! Removing, on any CPU:
//!
//! 1. [`begin_remove`](Slot::begin_remove) empties the slot: who looks up later finds
//!    nothing.
//! 2. **The owner passes a barrier**: it runs anything that the remover waits for, as a
//!    call by IPI. What the owner did before the barrier, the remover then sees; what it
//!    does after, it does with the slot empty.
//! 3. Wait until [`is_active`](Slot::is_active) is false.
//! 4. [`end_remove`](Slot::end_remove) lets others have the slot. Nobody can be
//!    running the handler or see its context any more: it may be freed.
//!
//! Why that is enough: a lookup that found the handler either came before the
//! barrier, and then step 3 sees its `enter`, or the `leave` that ends it; or it came
//! after, and then it found nothing. The barrier may also interrupt the owner
//! between `enter` and `lookup`: then the marker is seen for nothing.
//!
//! While the remover waits, it must itself answer such barriers, or two CPUs that
//! remove each other's handlers wait for ever. For the same reason a handler cannot
//! wait for the end of its own removal; on the owner itself, in a thread, step 2
//! has nothing to do.
//!
//! A context is read only by a lookup whose `enter` precedes it, and another one
//! is stored only after step 4. So function and context are of one installation.

use super::sync::{AtomicUsize, Ordering, compiler_fence, const_fn};
use core::fmt;

/// No handler.
const NONE: usize = 0;

// The states, which only those who install and remove look at.
const FREE: usize = 0;
const CHANGING: usize = 1;
const INSTALLED: usize = 2;

/// One entry of a CPU's table of handlers. 32 bytes, the function first, the context
/// 8 bytes after it and the owner's marker at 16, for code in assembly.
#[derive(Debug)]
#[repr(C)]
pub struct Slot {
    /// [`NONE`], or the handler's address.
    function: AtomicUsize,
    context: AtomicUsize,
    /// 1 while the owner may be running the handler. Only the owner writes it.
    active: AtomicUsize,
    state: AtomicUsize,
}

impl Slot {
    const_fn! {
        /// An empty slot.
        #[must_use]
        pub fn new() -> Self {
            Self {
                function: AtomicUsize::new(NONE),
                context: AtomicUsize::new(0),
                active: AtomicUsize::new(0),
                state: AtomicUsize::new(FREE),
            }
        }
    }

    /// Fills the slot. `function` is the handler's address, `context` what it is to
    /// be called with. From any CPU, in any context but NMI and #MC.
    ///
    /// Whatever the caller wrote before, the handler sees.
    ///
    /// # Errors
    ///
    /// [`Occupied`] if the slot has a handler, or one whose removal has not ended.
    ///
    /// # Panics
    ///
    /// If `function` is 0.
    pub fn install(&self, function: usize, context: usize) -> Result<(), Occupied> {
        assert!(function != NONE, "no handler has the address 0");
        // Acquire: the last handler's end comes before the new context.
        self.state
            .compare_exchange(FREE, CHANGING, Ordering::Acquire, Ordering::Relaxed)
            .map_err(|_| Occupied)?;
        self.context.store(context, Ordering::Relaxed);
        // Release: who finds the function finds its context too.
        self.function.store(function, Ordering::Release);
        self.state.store(INSTALLED, Ordering::Release);
        Ok(())
    }

    /// The handler and its context. Only on the owner, between [`enter`](Self::enter)
    /// and [`leave`](Self::leave).
    #[inline]
    #[must_use]
    pub fn lookup(&self) -> Option<(usize, usize)> {
        let function = self.function.load(Ordering::Acquire);
        (function != NONE).then(|| (function, self.context.load(Ordering::Relaxed)))
    }

    /// Marks that a lookup follows. Only on the owner, with its interrupts off; the
    /// vector is in service until after `leave`, so there is no second one.
    #[inline]
    pub fn enter(&self) {
        // The barrier orders it for other CPUs; for an interrupt that is the barrier, the
        // order of the instructions must stay.
        self.active.store(1, Ordering::Relaxed);
        compiler_fence(Ordering::SeqCst);
    }

    /// Marks that the handler has returned. Only on the owner, before the EOI or with
    /// interrupts off until `iretq`.
    #[inline]
    pub fn leave(&self) {
        // Release, an ordinary store on x86: the handler's work comes before.
        self.active.store(0, Ordering::Release);
    }

    /// Empties the slot, as the first step of a removal. Returns whether the removal is the
    /// caller's: false if there is no handler, or another one is removing it.
    #[must_use = "only one remover may go on"]
    pub fn begin_remove(&self) -> bool {
        let taken =
            self.state
                .compare_exchange(INSTALLED, CHANGING, Ordering::Acquire, Ordering::Relaxed);
        if taken.is_ok() {
            // The barrier orders it.
            self.function.store(NONE, Ordering::Relaxed);
        }
        taken.is_ok()
    }

    /// Whether the owner may be running a handler of this slot. From any CPU; means
    /// something only after the barrier.
    #[inline]
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire) != 0
    }

    /// Ends a removal: the slot can be filled again. Only for whom
    /// [`begin_remove`](Self::begin_remove) returned true, after the barrier and once
    /// [`is_active`](Self::is_active) was false.
    pub fn end_remove(&self) {
        self.state.store(FREE, Ordering::Release);
    }

    /// Whether the slot can be filled. A hint: another CPU may be faster.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.state.load(Ordering::Relaxed) == FREE
    }
}

impl Default for Slot {
    fn default() -> Self {
        Self::new()
    }
}

/// The slot has a handler already, or one that is still being removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occupied;

impl fmt::Display for Occupied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this vector of this CPU has a handler, or one whose removal is not finished")
    }
}

impl core::error::Error for Occupied {}
