//! Calls of a function on one other CPU.
//!
//! Each CPU has a [`Mailbox`]: the head of its [`CallList`], the list of pending [`Call`]s. A call
//! is a block of memory with the function, its argument, and one word that is the link while the
//! call is pending and marks completion afterwards.
//!
//! ```text
//! sender    fills a block
//!           post ................... links it to the target's list: one compare-and-exchange
//!           one ICR write
//!           until is_done .......... reads that block alone
//! target    on the call's vector: serve
//!           takes the whole list by one exchange, reverses it, runs each call, marks it as done
//! ```
//!
//! A synchronous call lives on the caller's stack, in a separate cache line ([`SyncCall`]), so it
//! always finds room. An asynchronous call is [posted](Mailbox::post_async) in one of the target's
//! `N` blocks, two in each cache line.
//!
//! A block is linked only when it is complete, so no call is ever half posted: a sender may be
//! interrupted at any point by a handler that calls the same CPU and waits. Calls of one sender run
//! in the order of posting. A sender is one CPU at one level, or several of which each posts only
//! after it has observed the other's post.
//!
//! Requirements on callers:
//!
//! - **Send the vector after every post**, not only when the list was empty: the code that posted
//!   the earlier call may have been interrupted before its ICR write by the code that posts now and
//!   waits. Merged vectors are harmless, because the target takes the whole list.
//! - **Wait only below the class of the call's vector**, and with interrupts enabled; or serve the
//!   own mailbox in the wait loop. Two CPUs that call each other then serve each other.
//! - **A called function must not wait for calls of its own.** Its CPU serves no calls during the
//!   wait, and two such CPUs would deadlock. It may post asynchronous calls. Serving within a
//!   called function runs no call twice: a call is removed from the list before it runs.
//! - In x2APIC mode, a write to the ICR does not wait for earlier stores: `mfence; lfence` must
//!   precede it (SDM vol. 3A, 12.12.3).

use core::mem::offset_of;
use core::ops::Deref;
use core::ptr;

use super::queue::Full;
use super::sync::{AtomicPtr, AtomicUsize, Ordering, array, const_fn};

/// The link of a call that has run: the address of no call.
const DONE: *mut Call = ptr::without_provenance_mut(RUN);

/// `DONE` as a number, for the entry code.
pub const RUN: usize = 1;

/// A function to call, its argument, and whether it has run.
#[derive(Debug)]
#[repr(align(32))]
pub struct Call {
    /// The call that was posted before this one; after the target has taken both, the call after
    /// it; [`DONE`] when the call has run.
    next: AtomicPtr<Call>,
    function: AtomicUsize,
    argument: AtomicUsize,
}

impl Call {
    /// Offset of the link, for the entry code. It is null, if the call is the only one of a list.
    pub const NEXT: usize = offset_of!(Self, next);
    /// Offset of the function, for the entry code.
    pub const FUNCTION: usize = offset_of!(Self, function);
    /// Offset of the argument, for the entry code.
    pub const ARGUMENT: usize = offset_of!(Self, argument);

    const_fn! {
        /// A pending call of `function`.
        #[inline]
        #[must_use]
        pub fn new(function: usize, argument: usize) -> Self {
            Self {
                next: AtomicPtr::new(ptr::null_mut()),
                function: AtomicUsize::new(function),
                argument: AtomicUsize::new(argument),
            }
        }
    }

    const_fn! {
        /// A free block: the state of a call that has run.
        #[must_use]
        pub fn free() -> Self {
            Self {
                next: AtomicPtr::new(DONE),
                function: AtomicUsize::new(0),
                argument: AtomicUsize::new(0),
            }
        }
    }

    /// Whether the call has run. If so, all writes of the function are visible, and no other CPU
    /// accesses the block any more. For any CPU.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.next.load(Ordering::Acquire) == DONE
    }

    /// Runs the call.
    #[inline]
    fn execute(&self, run: &mut impl FnMut(usize, usize)) {
        run(
            self.function.load(Ordering::Relaxed),
            self.argument.load(Ordering::Relaxed),
        );
        // Release: the writes of the function come before. The block belongs to its owner again.
        self.next.store(DONE, Ordering::Release);
    }

    /// Turns a free block into a pending call of `function`. Returns whether it was free; it is not
    /// if other code has taken it. Any context.
    #[must_use]
    pub fn take(&self, function: usize, argument: usize) -> bool {
        // Acquire: the target has read the previous call.
        let taken =
            self.next
                .compare_exchange(DONE, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed);
        if taken.is_ok() {
            self.function.store(function, Ordering::Relaxed);
            self.argument.store(argument, Ordering::Relaxed);
        }
        taken.is_ok()
    }
}

/// A synchronous call, whose completion the caller polls. No other call shares its cache line.
#[derive(Debug)]
#[repr(align(64))]
pub struct SyncCall(Call);

impl SyncCall {
    const_fn! {
        /// A pending call of `function`.
        #[inline]
        #[must_use]
        pub fn new(function: usize, argument: usize) -> Self {
            Self(Call::new(function, argument))
        }
    }
}

impl Deref for SyncCall {
    type Target = Call;

    #[inline]
    fn deref(&self) -> &Call {
        &self.0
    }
}

/// The pending calls of one CPU, an intrusive list.
#[derive(Debug)]
pub struct CallList {
    /// The call that was posted last; null if none is pending.
    newest: AtomicPtr<Call>,
}

impl CallList {
    const_fn! {
        /// An empty list.
        #[must_use]
        pub fn new() -> Self {
            Self {
                newest: AtomicPtr::new(ptr::null_mut()),
            }
        }
    }

    /// Posts a call. It must be new and not yet posted, and must not move until it is done. From
    /// any CPU in any context. The caller must then send the call's vector to the target.
    ///
    /// The function sees all earlier writes of the caller.
    #[inline]
    pub fn post(&self, call: &Call) {
        // The list is usually empty. Omitting the read saves one transfer of the cache line between
        // CPUs.
        if let Err(newest) = self.link(call, ptr::null_mut()) {
            self.link_before(newest, call);
        }
    }

    /// Links a call to a list that is not empty.
    #[cold]
    #[inline(never)]
    fn link_before(&self, mut newest: *mut Call, call: &Call) {
        loop {
            call.next.store(newest, Ordering::Relaxed);
            match self.link(call, newest) {
                Ok(()) => return,
                Err(now) => newest = now,
            }
        }
    }

    /// Links a call whose link is `newest`, if that is the newest call; otherwise returns the
    /// newest.
    #[inline]
    fn link(&self, call: &Call, newest: *mut Call) -> Result<(), *mut Call> {
        // Release: the block is complete. The current value is only compared: if that call was
        // removed and posted again meanwhile, it is in the list again.
        let linked = self.newest.compare_exchange_weak(
            newest,
            ptr::from_ref(call).cast_mut(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        linked.map(drop)
    }

    /// Runs the pending calls in the order of posting. `run` receives the function and the
    /// argument. Within `run`, it runs the calls that have been posted since. `at` returns the call
    /// at an address that was posted. Only on the target.
    #[inline]
    pub fn serve<'a>(
        &self,
        at: impl Fn(*const Call) -> &'a Call,
        mut run: impl FnMut(usize, usize),
    ) {
        // Acquire: all blocks are complete.
        let newest = self.newest.swap(ptr::null_mut(), Ordering::Acquire);
        if newest.is_null() {
            return;
        }
        let only = at(newest);
        if only.next.load(Ordering::Relaxed).is_null() {
            only.execute(&mut run);
        } else {
            serve_list(newest, at, run);
        }
    }

    /// As [`serve`](Self::serve), but each block is returned to its owner before `run` gets its
    /// argument, so `run` may free it.
    #[inline]
    pub fn release<'a>(&self, at: impl Fn(*const Call) -> &'a Call, mut run: impl FnMut(usize)) {
        // Acquire: all blocks are complete.
        let newest = self.newest.swap(ptr::null_mut(), Ordering::Acquire);
        in_order(newest, at, |call| {
            let argument = call.argument.load(Ordering::Relaxed);
            // Release: the block has been read.
            call.next.store(DONE, Ordering::Release);
            run(argument);
        });
    }

    /// Whether no call is pending. Exact on the target; a hint on other CPUs.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.newest.load(Ordering::Relaxed).is_null()
    }
}

impl Default for CallList {
    fn default() -> Self {
        Self::new()
    }
}

/// The mailbox of one CPU, with blocks for at most `N` asynchronous calls, a power of two.
#[derive(Debug)]
pub struct Mailbox<const N: usize> {
    senders: Senders,
    blocks: [Call; N],
}

/// The data that senders write, in a separate cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Senders {
    posted: CallList,
    /// Index at which the search for a free block begins.
    cursor: AtomicUsize,
}

impl<const N: usize> Mailbox<N> {
    /// Offset of the pointer to the newest call, for the entry code.
    pub const NEWEST: usize = offset_of!(Self, senders) + offset_of!(Senders, posted);

    const_fn! {
        /// An empty mailbox.
        #[must_use]
        pub fn new() -> Self {
            const { assert!(N.is_power_of_two(), "N must be 1, 2, 4, ...") };
            Self {
                senders: Senders {
                    posted: CallList::new(),
                    cursor: AtomicUsize::new(0),
                },
                blocks: array![Call::free(); N],
            }
        }
    }

    /// Posts an asynchronous call, as [`post`](CallList::post) does. The mailbox must not move.
    ///
    /// # Errors
    ///
    /// [`Full`] if `N` such calls are pending or running.
    pub fn post_async(&self, function: usize, argument: usize) -> Result<(), Full> {
        let cursor = self.senders.cursor.load(Ordering::Relaxed);
        for index in cursor..cursor + N {
            let call = &self.blocks[index % N];
            if call.take(function, argument) {
                let next = (index + 1) % N;
                self.senders.cursor.store(next, Ordering::Relaxed);
                self.post(call);
                return Ok(());
            }
        }
        Err(Full { capacity: N })
    }
}

impl<const N: usize> Deref for Mailbox<N> {
    type Target = CallList;

    #[inline]
    fn deref(&self) -> &CallList {
        &self.senders.posted
    }
}

/// Runs a list that was taken from a mailbox and begins with the newest call, in the order in which
/// they were posted.
#[cold]
#[inline(never)]
pub fn serve_list<'a>(
    newest: *mut Call,
    at: impl Fn(*const Call) -> &'a Call,
    mut run: impl FnMut(usize, usize),
) {
    in_order(newest, at, |call| call.execute(&mut run));
}

/// Visits a list that begins with the newest call, in the order in which they were posted.
#[inline]
fn in_order<'a>(
    mut newest: *mut Call,
    at: impl Fn(*const Call) -> &'a Call,
    mut visit: impl FnMut(&'a Call),
) {
    let mut oldest = ptr::null_mut();
    while !newest.is_null() {
        let before = at(newest).next.load(Ordering::Relaxed);
        at(newest).next.store(oldest, Ordering::Relaxed);
        (oldest, newest) = (newest, before);
    }
    while !oldest.is_null() {
        let call = at(oldest);
        // Read before the block belongs to its owner again.
        oldest = call.next.load(Ordering::Relaxed);
        visit(call);
    }
}

impl<const N: usize> Default for Mailbox<N> {
    fn default() -> Self {
        Self::new()
    }
}
