//! Calls of a function on all other CPUs, at a cost to the sender that does not grow with their
//! number.
//!
//! The machine has one broadcast [`Ring`] of `N` numbered entries. Each CPU has a [`Cursor`], its
//! cursor: one word in a separate cache line that only this CPU writes, with the number of entries
//! it has passed. The cursor is also the acknowledgement, so the targets share no counter.
//!
//! ```text
//! sender    post ................... claims the next number, fills the slot, publishes it: IF = 0
//!           one ICR write            to all excluding self
//!           for each cursor:
//!               until has_passed ... reads that CPU's own word
//!           release
//! target    on the broadcast vector: serve
//!           runs the new entries except its own, and advances its word after each
//! ```
//!
//! A slot is reused when all cursors have passed it, the sender's own included: the sender passes
//! its own entry when it posts it, unless it still has to read earlier ones. So `N` senders can
//! wait at once. A sender that finds the ring full serves entries until there is room.
//!
//! The vector differs from that of single calls but has the same class, so neither handler
//! interrupts the other, and the handler of single calls need not check the ring. The calls of one
//! sender stay in order: the sender waits until its entry has been passed, and posts nothing before
//! that. For calls that it posted to mailboxes earlier without waiting, [`serve`] first reads the
//! end of the ring, then the mailbox, and then the ring up to that end.
//!
//! Requirements on callers, in addition to those of [`mailbox`](super::mailbox):
//!
//! - **Post with this CPU's interrupts disabled.** CPUs stop at a slot that is claimed but not
//!   published; an interrupt handler between the two that posts and waits would deadlock.
//! - **Send the vector to all CPUs when the ring is full.** A sender with an entry in the ring may
//!   have been interrupted before its ICR write by the code that finds the ring full.

use core::ptr;

use super::mailbox::{Call, Mailbox};
use super::queue::Full;
use super::sync::{AtomicUsize, Ordering, array, const_fn};

/// The broadcast ring: at most `N` calls at once, a power of two.
#[derive(Debug)]
pub struct Ring<const N: usize> {
    counts: Counts,
    slots: [Slot; N],
}

/// The counts that senders write, in a separate cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Counts {
    /// Twice the number of claimed entries: also the number of the next entry.
    claimed: AtomicUsize,
    /// Twice a lower bound of the number of entries that all cursors have passed.
    passed: AtomicUsize,
}

/// A slot: entry number 2 n is in slot n % N.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    /// The number that follows that of the entry published here.
    published: AtomicUsize,
    /// The address of the sender's cursor.
    sender: AtomicUsize,
    function: AtomicUsize,
    argument: AtomicUsize,
}

impl Slot {
    const_fn! {
        fn new() -> Self {
            Self {
                published: AtomicUsize::new(0),
                sender: AtomicUsize::new(0),
                function: AtomicUsize::new(0),
                argument: AtomicUsize::new(0),
            }
        }
    }
}

/// The cursor of one CPU. Only that CPU writes it.
#[derive(Debug)]
#[repr(align(64))]
pub struct Cursor {
    /// Twice the number of entries that it has passed, plus 1 while it runs the next one.
    state: AtomicUsize,
}

/// An entry: twice the number of entries up to and including it, as [`Cursor`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(usize);

/// The amount that one entry adds to the counts.
const ONE: usize = 2;

/// The bit of a [`Cursor`] that is set while it runs an entry.
const RUNNING: usize = 1;

/// Whether `count` is at or after `other`. The counts wrap, but are never far apart.
fn has_reached(count: usize, other: usize) -> bool {
    count.wrapping_sub(other).cast_signed() >= 0
}

impl Cursor {
    const_fn! {
        /// A cursor that has passed no entry.
        #[must_use]
        pub fn new() -> Self {
            Self {
                state: AtomicUsize::new(0),
            }
        }
    }

    /// Whether this CPU has run or sent the entry. If so, all writes of the function are visible.
    /// For any CPU.
    #[inline]
    #[must_use]
    pub fn has_passed(&self, entry: Entry) -> bool {
        // The RUNNING bit makes no difference.
        has_reached(self.state.load(Ordering::Acquire), entry.0)
    }

    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl Default for Cursor {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Ring<N> {
    const_fn! {
        /// An empty ring.
        #[must_use]
        pub fn new() -> Self {
            const { assert!(N.is_power_of_two(), "N must be 1, 2, 4, ...") };
            Self {
                counts: Counts {
                    claimed: AtomicUsize::new(0),
                    passed: AtomicUsize::new(0),
                },
                slots: array![Slot::new(); N],
            }
        }
    }

    /// Posts an entry to all CPUs except this one. This CPU's interrupts must be disabled. The
    /// caller then sends the broadcast vector to the other CPUs, waits until all of `cursors` [have
    /// passed](Cursor::has_passed) the entry, and calls [`release`](Self::release). `cursors` are
    /// those of all CPUs, this one included.
    ///
    /// The function sees all earlier writes of the caller.
    ///
    /// # Errors
    ///
    /// [`Full`] if there are `N` entries that not all cursors have passed. The caller must send the
    /// vector nevertheless, serve, and retry.
    #[inline]
    pub fn post<'a>(
        &self,
        own: &Cursor,
        cursors: &(impl Iterator<Item = &'a Cursor> + Clone),
        function: usize,
        argument: usize,
    ) -> Result<Entry, Full> {
        let mut number = self.counts.claimed.load(Ordering::Relaxed);
        loop {
            let next = number.wrapping_add(ONE);
            let first = Entry(next.wrapping_sub(ONE * N));
            // Acquire, in both places: all CPUs have read the slot before it is filled again.
            let passed = self.counts.passed.load(Ordering::Acquire);
            if !has_reached(passed, first.0) && !cursors.clone().all(|it| it.has_passed(first)) {
                return Err(Full { capacity: N });
            }
            // Release: a CPU that sees the number also sees the calls that the sender has posted to
            // mailboxes.
            let claimed = self.counts.claimed.compare_exchange_weak(
                number,
                next,
                Ordering::Release,
                Ordering::Relaxed,
            );
            match claimed {
                Ok(_) => break,
                Err(now) => number = now,
            }
        }
        let next = number.wrapping_add(ONE);
        let slot = self.slot(number);
        slot.sender.store(own.address(), Ordering::Relaxed);
        slot.function.store(function, Ordering::Relaxed);
        slot.argument.store(argument, Ordering::Relaxed);
        // Release: the entry is written before.
        slot.published.store(next, Ordering::Release);
        if own.state.load(Ordering::Relaxed) == number {
            own.state.store(next, Ordering::Release);
        }
        Ok(Entry(next))
    }

    /// Records that all cursors have passed `entry`, so that later senders need not check them.
    #[inline]
    pub fn release(&self, entry: Entry) {
        // It may be less than the value that another sender has stored; both are valid lower
        // bounds.
        self.counts.passed.store(entry.0, Ordering::Release);
    }

    /// Whether there are entries that `own` has not passed. Exact on its own CPU; a hint on others.
    #[inline]
    pub fn has_pending(&self, own: &Cursor) -> bool {
        self.last().0 != own.state.load(Ordering::Relaxed)
    }

    #[inline]
    fn slot(&self, number: usize) -> &Slot {
        &self.slots[number / ONE % N]
    }

    /// The last claimed entry.
    #[inline]
    fn last(&self) -> Entry {
        // Acquire: see `post`.
        Entry(self.counts.claimed.load(Ordering::Acquire))
    }

    /// Runs the entries up to `last` that `own` has not passed. Runs none if called within a
    /// function that it runs: an entry is passed only when its function has returned, and must not
    /// run twice.
    #[inline]
    fn read(&self, own: &Cursor, last: Entry, mut run: impl FnMut(usize, usize)) {
        let mut number = own.state.load(Ordering::Relaxed);
        if number & RUNNING != 0 {
            return;
        }
        while number != last.0 {
            let next = number.wrapping_add(ONE);
            let slot = self.slot(number);
            if slot.published.load(Ordering::Acquire) != next {
                // The sender sends the vector after it publishes the entry.
                return;
            }
            if slot.sender.load(Ordering::Relaxed) != own.address() {
                // Release: a CPU that sees this also sees that the earlier entries have been
                // passed.
                own.state.store(number | RUNNING, Ordering::Release);
                run(
                    slot.function.load(Ordering::Relaxed),
                    slot.argument.load(Ordering::Relaxed),
                );
            }
            // Release: the writes of the function and the read of the slot come before.
            own.state.store(next, Ordering::Release);
            number = next;
        }
    }
}

impl<const N: usize> Default for Ring<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs all pending calls and entries of a CPU, on that CPU. `run` receives the function and the
/// argument. Within `run`, this runs calls that have arrived since, but no entries. `at` returns
/// the call at an address that was posted in the mailbox.
#[inline]
pub fn serve<'a, const CALLS: usize, const ENTRIES: usize>(
    mailbox: &Mailbox<CALLS>,
    ring: &Ring<ENTRIES>,
    own: &Cursor,
    at: impl Fn(*const Call) -> &'a Call,
    mut run: impl FnMut(usize, usize),
) {
    // First, so that the mailbox then contains everything that the senders of these entries posted
    // to it before.
    let last = ring.last();
    // Checking costs less than taking.
    if !mailbox.is_empty() {
        mailbox.serve(at, &mut run);
    }
    ring.read(own, last, run);
}
