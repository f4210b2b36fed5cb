//! Requests to other CPUs to invalidate translations, or only to acknowledge.
//!
//! The machine has one [`Requests`]. Requests are numbered, and each CPU stores the number up to
//! which it has acknowledged them in a word of its own.
//!
//! ```text
//! sender    post ............ adds its range to the pending ones, takes a number
//!           IPI               to the targets
//!           for each target:
//!               until has_acknowledged
//!           release           removes the range
//! target    serve ........... reads the last number, then the pending ranges; invalidates them;
//!                             stores the number that it has read
//! ```
//!
//! A CPU that reads number n also reads the ranges of all requests up to n that are not released,
//! so it invalidates what they need. It may also read the range of a later request or of one that
//! is about to be released: then it invalidates translations without need, which is always correct.
//! So targets write only their own words, the sender never waits to post, and a request may be
//! served any number of times.
//!
//! All pending ranges are one word, because the entry code serves requests with interrupts disabled
//! and must be short: the range of the only pending request, if it has at most [`LIMIT`] pages, and
//! otherwise all translations.

use core::num::NonZeroUsize;

use super::sync::{AtomicUsize, Ordering, const_fn, fence};

/// Maximum number of pages that are invalidated one by one.
pub const LIMIT: usize = 4;

/// The size of a page in bytes.
const PAGE: usize = 4096;

/// The bit of `Requests::pending` that means all translations. The bits from `PAGE` on are then
/// the number of pending requests.
pub const ALL: usize = PAGE / 2;

/// One pending request for all translations.
const ONE: NonZeroUsize = NonZeroUsize::new(ALL | PAGE).unwrap();

const _: () = assert!(LIMIT < ALL);

/// The translations that a request invalidates, in the form of `Requests::pending`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range(NonZeroUsize);

impl Range {
    /// All translations.
    pub const ALL: Self = Self(ONE);

    /// The translations of the pages with these addresses. They become all translations, if the
    /// pages are more than [`LIMIT`]. `None`, if there are no addresses.
    #[inline]
    #[must_use]
    pub const fn pages(start: usize, end: usize) -> Option<Self> {
        if start >= end {
            return None;
        }
        let first = start & !(PAGE - 1);
        let pages = (end - 1 - first) / PAGE + 1;
        if pages > LIMIT {
            return Some(Self::ALL);
        }
        match NonZeroUsize::new(first | pages) {
            Some(word) => Some(Self(word)),
            None => None,
        }
    }

    /// Calls `invalidate` for each page, or once for all.
    #[inline]
    pub fn each(self, invalidate: impl FnMut(Invalidate)) {
        each(self.0.get(), invalidate);
    }
}

/// As [`Range::each`], for a word that is 0 if there is nothing to invalidate.
#[inline]
fn each(word: usize, mut invalidate: impl FnMut(Invalidate)) {
    if word & ALL != 0 {
        return invalidate(Invalidate::All);
    }
    let first = word & !(PAGE - 1);
    for page in 0..word - first {
        invalidate(Invalidate::Page(first + page * PAGE));
    }
}

/// The requests of all CPUs.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct Requests {
    /// The number of the last request. It wraps.
    number: AtomicUsize,
    /// The pending ranges: 0 if there are none; the address of the first page plus the number of
    /// pages, if one request with at most [`LIMIT`] pages is pending; else [`ALL`] and the number
    /// of pending requests.
    pending: AtomicUsize,
}

/// The number up to which a CPU has acknowledged requests. Only that CPU writes it.
#[derive(Debug)]
pub struct Acknowledged(AtomicUsize);

/// The number of a request.
#[derive(Clone, Copy, Debug)]
pub struct Number(usize);

/// A request that was posted and is not released.
#[derive(Debug)]
#[must_use = "the request stays pending until it is released"]
pub struct Posted {
    number: Number,
    range: Option<Range>,
}

impl Posted {
    /// The number of the request.
    #[inline]
    #[must_use]
    pub const fn number(&self) -> Number {
        self.number
    }
}

impl Acknowledged {
    const_fn! {
        /// A CPU that has acknowledged no request.
        #[must_use]
        pub fn new() -> Self {
            Self(AtomicUsize::new(0))
        }
    }

    /// Whether the CPU has acknowledged the request with this number. If so, it cannot use the
    /// translations any more. For any CPU.
    #[inline]
    #[must_use]
    pub fn has(&self, request: Number) -> bool {
        // Acquire: the CPU has invalidated what it had to before.
        let number = self.0.load(Ordering::Acquire);
        number.wrapping_sub(request.0).cast_signed() >= 0
    }
}

impl Default for Acknowledged {
    fn default() -> Self {
        Self::new()
    }
}

impl Requests {
    /// Offset of the number, for the entry code.
    pub const NUMBER: usize = core::mem::offset_of!(Self, number);
    /// Offset of the pending ranges, for the entry code.
    pub const PENDING: usize = core::mem::offset_of!(Self, pending);

    const_fn! {
        /// No request.
        #[must_use]
        pub fn new() -> Self {
            Self {
                number: AtomicUsize::new(0),
                pending: AtomicUsize::new(0),
            }
        }
    }

    /// No request, after one with this number.
    #[cfg(test)]
    pub(super) fn ending_at(number: usize) -> Self {
        let requests = Self::new();
        requests.number.store(number, Ordering::Relaxed);
        requests
    }

    /// Posts a request; without a range, the targets only acknowledge it. The page tables must have
    /// been changed before. The caller then interrupts the targets, waits until each [has
    /// acknowledged](Acknowledged::has) it, and
    /// [releases](Self::release) it.
    #[inline]
    pub fn post(&self, range: Option<Range>) -> Posted {
        if let Some(Range(word)) = range
            && self.replace(0, word.get()).is_err()
        {
            self.add(word.get());
        }
        // Release: a CPU that reads the number also reads the range and the changed page tables.
        let before = self.number.fetch_add(1, Ordering::AcqRel);
        Posted {
            number: Number(before.wrapping_add(1)),
            range,
        }
    }

    /// Adds a range to others.
    #[cold]
    fn add(&self, range: usize) {
        let mut pending = self.pending.load(Ordering::Relaxed);
        loop {
            let sum = match pending {
                0 => range,
                count if count & ALL != 0 => count + PAGE,
                _ => ONE.get() + PAGE,
            };
            match self.replace(pending, sum) {
                Ok(_) => return,
                Err(other) => pending = other,
            }
        }
    }

    /// Ends a request that all targets have acknowledged.
    #[expect(clippy::needless_pass_by_value, reason = "a request is released once")]
    #[inline]
    pub fn release(&self, request: Posted) {
        if let Some(Range(word)) = request.range
            && self.replace(word.get(), 0).is_err()
        {
            self.remove();
        }
    }

    /// Removes a range from others.
    #[cold]
    fn remove(&self) {
        let mut pending = self.pending.load(Ordering::Relaxed);
        loop {
            let rest = match pending - PAGE {
                ALL => 0,
                others => others,
            };
            match self.replace(pending, rest) {
                Ok(_) => return,
                Err(other) => pending = other,
            }
        }
    }

    /// Replaces the pending ranges, if they are still the `old` ones. The order is that of the
    /// numbers.
    #[inline]
    fn replace(&self, old: usize, new: usize) -> Result<usize, usize> {
        self.pending
            .compare_exchange(old, new, Ordering::Relaxed, Ordering::Relaxed)
    }

    /// Whether there are requests that `own` has not acknowledged. Exact on its own CPU.
    #[inline]
    #[must_use]
    pub fn has_pending(&self, own: &Acknowledged) -> bool {
        self.number.load(Ordering::Relaxed) != own.0.load(Ordering::Relaxed)
    }

    /// Serves all requests on this CPU, whose interrupts must be disabled: calls `invalidate` for
    /// each page, or once for all, and acknowledges. It is a full memory barrier. The entry code
    /// does the same; there, IRET is the barrier (SDM vol. 3A, 10.3).
    pub fn serve(&self, own: &Acknowledged, invalidate: impl FnMut(Invalidate)) {
        // Acquire: see `post`.
        let number = self.number.load(Ordering::Acquire);
        // A request without a range orders the accesses of this CPU for all CPUs, not only for the
        // sender.
        fence(Ordering::SeqCst);
        let pending = self.pending.load(Ordering::Relaxed);
        each(pending, invalidate);
        // Release: the translations are invalid before.
        own.0.store(number, Ordering::Release);
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self::new()
    }
}

/// An invalidation on this CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidate {
    /// Of the page at this address.
    Page(usize),
    /// Of all translations.
    All,
}
