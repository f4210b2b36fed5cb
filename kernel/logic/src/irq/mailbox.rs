//! Calling a function on one other CPU.
//!
//! Each CPU has a [`Mailbox`]: the head of a list of [`Call`]s, its [`Posted`] calls. A call is a block
//! of memory with the function, its argument, and one word that is the link while the call waits and
//! then says that it is done.
//!
//! ```text
//! sender    fills a block
//!           post ................... links it to the target's list: one compare-and-exchange
//!           one ICR write
//!           until is_done .......... reads that block alone
//! target    on the call's vector: serve
//!           takes the whole list by one exchange, turns it round, runs each, marks it as done
//! ```
//!
//! Who waits brings the block, on its stack and in a cache line of its own ([`Waited`]): a call that is
//! waited for always finds room. Who does not wait [leaves](Mailbox::leave) the call in a block of the
//! target's, of which there are `N`, two in each line.
//!
//! A block is linked when it is complete, so nothing is ever half posted: a sender may be interrupted
//! anywhere, by a handler that calls the same CPU and waits. Calls of one sender are served in its
//! order; a sender is one CPU at one level, or several of whom each posts after having seen the
//! other's post.
//!
//! What callers owe:
//!
//! - **Send the vector after every post**, not only when the list was empty: whoever filled it may
//!   have been interrupted before the ICR write, by the one who posts now and waits. Two vectors that
//!   merge do no harm, for the target takes all that is there.
//! - **Wait only below the class of the call's vector**, and with interrupts on; or serve one's own
//!   mailbox in the loop. Two CPUs that call each other then serve each other.
//! - **A called function does not wait for calls of its own.** Its CPU serves nothing meanwhile, and
//!   two such CPUs would wait for each other. It may leave calls. Serving in it runs nothing twice: a call
//!   is taken off the list before it runs.
//! - In x2APIC mode, writing the ICR does not wait for earlier stores: `mfence; lfence` goes before it
//!   (SDM vol. 3A, 12.12.3).

use core::ops::Deref;
use core::ptr;

use super::queue::Full;
use super::sync::{AtomicPtr, AtomicUsize, Ordering, array, const_fn};

/// What [`Call::next`] is when the call has run: the address of no call.
const DONE: *mut Call = ptr::without_provenance_mut(1);

/// A function to run, with its argument; and whether it has run.
#[derive(Debug)]
#[repr(align(32))]
pub struct Call {
    /// The one that was posted before it; once the target has taken both, the one after it; [`DONE`]
    /// when it has run.
    next: AtomicPtr<Call>,
    function: AtomicUsize,
    argument: AtomicUsize,
}

impl Call {
    const_fn! {
        /// A call of `function`, which waits to be run.
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
        /// A block that holds no call: as one that has run.
        #[must_use]
        pub fn free() -> Self {
            Self {
                next: AtomicPtr::new(DONE),
                function: AtomicUsize::new(0),
                argument: AtomicUsize::new(0),
            }
        }
    }

    /// Whether it has run. Any CPU. Then all that the function wrote is seen, and nobody looks at the
    /// block any more.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.next.load(Ordering::Acquire) == DONE
    }

    /// Runs it.
    #[inline]
    fn answer(&self, run: &mut impl FnMut(usize, usize)) {
        run(
            self.function.load(Ordering::Relaxed),
            self.argument.load(Ordering::Relaxed),
        );
        // Release: what it did comes before. The block is its owner's again.
        self.next.store(DONE, Ordering::Release);
    }

    /// Makes one that has run a call of `function`, which waits to be run, unless somebody else has done so.
    /// Returns whether it was free. Any context.
    #[must_use]
    pub fn take(&self, function: usize, argument: usize) -> bool {
        // Acquire: the target has read the last call.
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

/// A call that somebody waits for, who looks at it again and again: no other call's words are in its
/// cache line.
#[derive(Debug)]
#[repr(align(64))]
pub struct Waited(Call);

impl Waited {
    const_fn! {
        /// A call of `function`, which waits to be run.
        #[inline]
        #[must_use]
        pub fn new(function: usize, argument: usize) -> Self {
            Self(Call::new(function, argument))
        }
    }
}

impl Deref for Waited {
    type Target = Call;

    #[inline]
    fn deref(&self) -> &Call {
        &self.0
    }
}

/// Calls that wait for one CPU, linked by themselves.
#[derive(Debug)]
pub struct Posted {
    /// The call that was posted last; null if none waits.
    newest: AtomicPtr<Call>,
}

impl Posted {
    const_fn! {
        /// None yet.
        #[must_use]
        pub fn new() -> Self {
            Self {
                newest: AtomicPtr::new(ptr::null_mut()),
            }
        }
    }

    /// Posts a call, which must have been made and not posted yet, and stay where it is until it is
    /// done. From any CPU in any context. Then send the target the call's vector.
    ///
    /// Whatever the caller wrote before, the function sees.
    #[inline]
    pub fn post(&self, call: &Call) {
        // As a rule no other waits. Not to look first spares the line one way between the CPUs.
        if let Err(newest) = self.link(call, ptr::null_mut()) {
            self.link_before(newest, call);
        }
    }

    /// Links a call where others wait.
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

    /// Links a call whose link is `newest`, if that is the newest; otherwise tells what is.
    #[inline]
    fn link(&self, call: &Call, newest: *mut Call) -> Result<(), *mut Call> {
        // Release: the block is complete. What is there now is only compared: if it went and came
        // again meanwhile, it is in the list again.
        let linked = self.newest.compare_exchange_weak(
            newest,
            ptr::from_ref(call).cast_mut(),
            Ordering::Release,
            Ordering::Relaxed,
        );
        linked.map(drop)
    }

    /// Runs what has been posted, in its order, by `run`, which gets the function and the argument.
    /// Only on the target. In `run`, it runs what has been posted meanwhile. `at` gives the call at an address that was posted.
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
            only.answer(&mut run);
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

    /// Whether nothing waits to be served. Only on the target; a hint for others.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.newest.load(Ordering::Relaxed).is_null()
    }
}

impl Default for Posted {
    fn default() -> Self {
        Self::new()
    }
}

/// One CPU's calls; at most `N` of those that nobody waits for, a power of two.
#[derive(Debug)]
pub struct Mailbox<const N: usize> {
    senders: Senders,
    blocks: [Call; N],
}

/// What senders write: a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Senders {
    posted: Posted,
    /// Where the next free block is likely.
    cursor: AtomicUsize,
}

impl<const N: usize> Mailbox<N> {
    const_fn! {
        /// A mailbox without calls.
        #[must_use]
        pub fn new() -> Self {
            const { assert!(N.is_power_of_two(), "N must be 1, 2, 4, ...") };
            Self {
                senders: Senders {
                    posted: Posted::new(),
                    cursor: AtomicUsize::new(0),
                },
                blocks: array![Call::free(); N],
            }
        }
    }

    /// Posts a call that nobody waits for. As [`post`](Posted::post); and the mailbox must stay where it is.
    ///
    /// # Errors
    ///
    /// [`Full`] if `N` such calls wait or run.
    pub fn leave(&self, function: usize, argument: usize) -> Result<(), Full> {
        let cursor = self.senders.cursor.load(Ordering::Relaxed);
        for place in cursor..cursor + N {
            let call = &self.blocks[place % N];
            if call.take(function, argument) {
                let next = (place + 1) % N;
                self.senders.cursor.store(next, Ordering::Relaxed);
                self.post(call);
                return Ok(());
            }
        }
        Err(Full { capacity: N })
    }
}

impl<const N: usize> Deref for Mailbox<N> {
    type Target = Posted;

    #[inline]
    fn deref(&self) -> &Posted {
        &self.senders.posted
    }
}

/// Runs a list that begins with the newest call, in the order in which they were posted.
#[cold]
#[inline(never)]
fn serve_list<'a>(
    newest: *mut Call,
    at: impl Fn(*const Call) -> &'a Call,
    mut run: impl FnMut(usize, usize),
) {
    in_order(newest, at, |call| call.answer(&mut run));
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
        // Before it is its owner's again.
        oldest = call.next.load(Ordering::Relaxed);
        visit(call);
    }
}

impl<const N: usize> Default for Mailbox<N> {
    fn default() -> Self {
        Self::new()
    }
}
