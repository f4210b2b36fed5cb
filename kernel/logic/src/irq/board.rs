//! Calling a function on all other CPUs, at a cost to the sender that does not grow with them.
//!
//! The machine has one [`Board`], a ring of `N` notices with a number each. Each CPU has a
//! [`Reader`], one word in a cache line of its own that only it writes: how many notices it has
//! passed. That is also its answer: no counter is shared by those who answer.
//!
//! ```text
//! sender    post ................... claims the next number, fills the place, publishes it: IF = 0
//!           one ICR write            to all but self
//!           for each reader:
//!               until has_passed ... reads that CPU's own word
//!           end
//! target    on the board's vector: serve
//!           runs what is new on the board but not its own, and moves its word on after each
//! ```
//!
//! A place is filled again when all readers have passed it, the sender's own included: it passes its
//! own notice when it posts it, unless it still has to read others before. `N` senders can thus be
//! waiting at once. Whoever finds the board full waits until there is room, serving.
//!
//! The vector is another one of the class of a single call's, whose handler so need not look here.
//! Neither interrupts the other. The order of one sender's calls is kept: it waits until its notice is
//! passed, and posts nothing meanwhile; and for those that it has left in mailboxes before, [`serve`]
//! looks how far the board goes, then at the mailbox, and then at the board so far.
//!
//! What callers owe, beside what [`mailbox`](super::mailbox) says:
//!
//! - **Post with this CPU's interrupts off.** Readers stop at a place that is claimed but not
//!   published; an interrupt between the two that posts and waits would wait for ever.
//! - **Tell all CPUs to look where the board is full.** A sender whose notice is there may have been
//!   interrupted before its ICR write, by the one who finds it full.

use core::ptr;

use super::mailbox::{Call, Mailbox};
use super::queue::Full;
use super::sync::{AtomicUsize, Ordering, array, const_fn};

/// What is called on all CPUs: at most `N` calls at once, a power of two.
#[derive(Debug)]
pub struct Board<const N: usize> {
    counts: Counts,
    places: [Place; N],
}

/// What senders write: a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Counts {
    /// How many notices have been claimed, times 2: also the number of the next.
    claimed: AtomicUsize,
    /// So many at least, times 2, have been passed by all.
    passed: AtomicUsize,
}

/// Notice number 2 n is in place n % N.
#[derive(Debug)]
#[repr(align(64))]
struct Place {
    /// The number after the one of the notice that is published here.
    published: AtomicUsize,
    /// The address of its sender's reader.
    sender: AtomicUsize,
    function: AtomicUsize,
    argument: AtomicUsize,
}

impl Place {
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

/// How far one CPU has read. Only that CPU writes it.
#[derive(Debug)]
#[repr(align(64))]
pub struct Reader {
    /// Twice the number of notices that it has passed; plus 1 while it runs the next one.
    state: AtomicUsize,
}

/// A notice on the board: how many there were up to it, itself included; times 2, as [`Reader`] counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice(usize);

/// The amount that one notice adds to the counts.
const ONE: usize = 2;

/// The bit of a [`Reader`] that is set while it runs a notice.
const RUNNING: usize = 1;

/// Whether `count` is `other` or more. They wrap, but are never far from each other.
fn has_reached(count: usize, other: usize) -> bool {
    count.wrapping_sub(other).cast_signed() >= 0
}

impl Reader {
    const_fn! {
        /// One that has read nothing.
        #[must_use]
        pub fn new() -> Self {
            Self {
                state: AtomicUsize::new(0),
            }
        }
    }

    /// Whether it has run this notice, or sent it. Any CPU. Then all that the function wrote is seen.
    #[inline]
    #[must_use]
    pub fn has_passed(&self, notice: Notice) -> bool {
        // The RUNNING bit makes no difference.
        has_reached(self.state.load(Ordering::Acquire), notice.0)
    }

    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Board<N> {
    const_fn! {
        /// One without notices.
        #[must_use]
        pub fn new() -> Self {
            const { assert!(N.is_power_of_two(), "N must be 1, 2, 4, ...") };
            Self {
                counts: Counts {
                    claimed: AtomicUsize::new(0),
                    passed: AtomicUsize::new(0),
                },
                places: array![Place::new(); N],
            }
        }
    }

    /// Posts a notice to all CPUs but the own one. With this CPU's interrupts off. Then send them the
    /// board's vector, wait until all of `readers` [have passed](Reader::has_passed) it, and
    /// [`end`](Self::end) it. `readers` are those of all CPUs, the own one included.
    ///
    /// Whatever the caller wrote before, the function sees.
    ///
    /// # Errors
    ///
    /// [`Full`] if `N` notices are not passed by all. Send the vector all the same, serve, and try
    /// again.
    #[inline]
    pub fn post<'a>(
        &self,
        own: &Reader,
        readers: &(impl Iterator<Item = &'a Reader> + Clone),
        function: usize,
        argument: usize,
    ) -> Result<Notice, Full> {
        let mut number = self.counts.claimed.load(Ordering::Relaxed);
        loop {
            let next = number.wrapping_add(ONE);
            let first = Notice(next.wrapping_sub(ONE * N));
            // Acquire, here and there: they have read the place before it is filled again.
            let passed = self.counts.passed.load(Ordering::Acquire);
            if !has_reached(passed, first.0) && !readers.clone().all(|it| it.has_passed(first)) {
                return Err(Full { capacity: N });
            }
            // Release: who sees the number sees what its sender has left in mailboxes before.
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
        let place = self.place(number);
        place.sender.store(own.address(), Ordering::Relaxed);
        place.function.store(function, Ordering::Relaxed);
        place.argument.store(argument, Ordering::Relaxed);
        // Release: the notice comes before.
        place.published.store(next, Ordering::Release);
        if own.state.load(Ordering::Relaxed) == number {
            own.state.store(next, Ordering::Release);
        }
        Ok(Notice(next))
    }

    /// Notes that all readers have passed `notice`, which spares the next senders to look.
    #[inline]
    pub fn end(&self, notice: Notice) {
        // It may be less than what another sender has noted; both are true.
        self.counts.passed.store(notice.0, Ordering::Release);
    }

    /// Whether there are notices that `own` has not passed. Only on its CPU; a hint for others.
    #[inline]
    pub fn has_news(&self, own: &Reader) -> bool {
        self.last().0 != own.state.load(Ordering::Relaxed)
    }

    #[inline]
    fn place(&self, number: usize) -> &Place {
        &self.places[number / ONE % N]
    }

    /// How far the board goes.
    #[inline]
    fn last(&self) -> Notice {
        // Acquire: see `post`.
        Notice(self.counts.claimed.load(Ordering::Acquire))
    }

    /// Runs the notices up to `last` that `own` has not passed. Runs none if it is called in a
    /// function that it runs: a notice is passed only when its function has returned, and must not
    /// run twice.
    #[inline]
    fn read(&self, own: &Reader, last: Notice, mut run: impl FnMut(usize, usize)) {
        let mut number = own.state.load(Ordering::Relaxed);
        if number & RUNNING != 0 {
            return;
        }
        while number != last.0 {
            let next = number.wrapping_add(ONE);
            let place = self.place(number);
            if place.published.load(Ordering::Acquire) != next {
                // Its sender sends the vector when it is.
                return;
            }
            if place.sender.load(Ordering::Relaxed) != own.address() {
                // Release: a CPU that sees this also sees that the notices before have been passed.
                own.state.store(number | RUNNING, Ordering::Release);
                run(
                    place.function.load(Ordering::Relaxed),
                    place.argument.load(Ordering::Relaxed),
                );
            }
            // Release: what it did comes before; and the place has been read.
            own.state.store(next, Ordering::Release);
            number = next;
        }
    }
}

impl<const N: usize> Default for Board<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs all calls and notices for a CPU, on that CPU. `run` gets the function and the argument.
/// Within `run`, this runs the calls that have arrived since, but no notices. `at` returns the call
/// at an address that was posted in the mailbox.
#[inline]
pub fn serve<'a, const CALLS: usize, const NOTICES: usize>(
    mailbox: &Mailbox<CALLS>,
    board: &Board<NOTICES>,
    own: &Reader,
    at: impl Fn(*const Call) -> &'a Call,
    mut run: impl FnMut(usize, usize),
) {
    // First, so that whatever the senders of notices have left in the mailbox before is found there.
    let last = board.last();
    // Looking costs less than taking.
    if !mailbox.is_empty() {
        mailbox.serve(at, &mut run);
    }
    board.read(own, last, run);
}
