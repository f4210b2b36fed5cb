//! Work put off to a lower priority: a bounded queue, many producers, one consumer.
//!
//! Producers are all CPUs and all interrupt levels. A producer may be interrupted at
//! any point by another one of the same CPU, which cannot wait for it; so nobody
//! waits here. A place is claimed by one compare-and-exchange, then filled, then
//! published. **The consumer stops at a place that is claimed but not published**,
//! even if later ones are: it returns `None`, and the order is kept.
//!
//! So the rule that loses nothing: **signal the consumer after every push** (as by a
//! self-IPI, which merges with one that is pending). The producer that was
//! interrupted publishes after the others have signalled, and its own signal then
//! lets the consumer find all of them.
//!
//! Items of one producer come out in its order. A producer is one CPU at one level;
//! or several, of whom each pushes after having seen the other's push.

use super::sync::{AtomicUsize, Ordering, array, const_fn};
use core::fmt;

/// A queue of at most `N` items, a power of two, 2 or more. An item is two words: as a
/// rule a function and its argument.
#[derive(Debug)]
pub struct Queue<const N: usize> {
    /// The number of places claimed so far: also the number of the next.
    claimed: Line<AtomicUsize>,
    /// The number of items taken so far. Only the consumer writes it.
    taken: Line<AtomicUsize>,
    overflowed: AtomicUsize,
    cells: [Cell; N],
}

/// What producers write and what the consumer writes lie in different cache lines.
#[derive(Debug)]
#[repr(align(64))]
struct Line<T>(T);

/// A place: number n is cell n % N, in the lap that begins with number n - n % N.
#[derive(Debug)]
#[repr(align(32))]
struct Cell {
    /// The number that the lap begins with while free or claimed, one more while published.
    state: AtomicUsize,
    first: AtomicUsize,
    second: AtomicUsize,
}

impl Cell {
    const_fn! {
        fn new() -> Self {
            Self {
                state: AtomicUsize::new(0),
                first: AtomicUsize::new(0),
                second: AtomicUsize::new(0),
            }
        }
    }
}

/// A place that a producer has claimed and must publish.
#[derive(Debug)]
#[must_use = "the consumer stops at a place that is never published"]
pub(super) struct Claim {
    number: usize,
}

impl<const N: usize> Queue<N> {
    const_fn! {
        /// An empty queue.
        #[must_use]
        pub fn new() -> Self {
            const { assert!(N >= 2 && N.is_power_of_two(), "N must be 2, 4, 8, ...") };
            Self {
                claimed: Line(AtomicUsize::new(0)),
                taken: Line(AtomicUsize::new(0)),
                overflowed: AtomicUsize::new(0),
                cells: array![Cell::new(); N],
            }
        }
    }

    /// Appends an item. From any CPU in any context, NMI too. Then signal the consumer.
    ///
    /// Whatever the caller wrote before, the consumer sees once it has the item.
    ///
    /// # Errors
    ///
    /// [`Full`] if `N` items wait; the queue counts it.
    pub fn push(&self, first: usize, second: usize) -> Result<(), Full> {
        let claim = self.claim()?;
        self.publish(claim, first, second);
        Ok(())
    }

    /// The first half of a push. Begins again only when another producer was faster.
    pub(super) fn claim(&self) -> Result<Claim, Full> {
        let mut number = self.claimed.0.load(Ordering::Relaxed);
        loop {
            let free = Self::free_in(number);
            // Acquire: the consumer has read the last lap's item.
            let state = self.cells[number % N].state.load(Ordering::Acquire);
            if state == free {
                let claimed = self.claimed.0.compare_exchange_weak(
                    number,
                    number.wrapping_add(1),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
                match claimed {
                    Ok(_) => return Ok(Claim { number }),
                    Err(now) => number = now,
                }
            } else {
                // Either others have come round to this cell, or it is still in use.
                let now = self.claimed.0.load(Ordering::Relaxed);
                if now == number {
                    self.overflowed.fetch_add(1, Ordering::Relaxed);
                    return Err(Full { capacity: N });
                }
                number = now;
            }
        }
    }

    /// The second half.
    #[allow(clippy::needless_pass_by_value, reason = "a claim is published once")]
    pub(super) fn publish(&self, claim: Claim, first: usize, second: usize) {
        let Claim { number } = claim;
        let cell = &self.cells[number % N];
        cell.first.store(first, Ordering::Relaxed);
        cell.second.store(second, Ordering::Relaxed);
        // Release: the item comes before.
        cell.state
            .store(Self::free_in(number).wrapping_add(1), Ordering::Release);
    }

    /// Takes the oldest item; `None` if there is none, or if its producer has not
    /// finished.
    ///
    /// Only the consumer: one CPU, and one level of it, which nothing that pops
    /// interrupts. Two at once might get one item twice.
    pub fn pop(&self) -> Option<(usize, usize)> {
        let number = self.taken.0.load(Ordering::Relaxed);
        let cell = &self.cells[number % N];
        let free = Self::free_in(number);
        if cell.state.load(Ordering::Acquire) != free.wrapping_add(1) {
            return None;
        }
        let item = (
            cell.first.load(Ordering::Relaxed),
            cell.second.load(Ordering::Relaxed),
        );
        self.taken
            .0
            .store(number.wrapping_add(1), Ordering::Relaxed);
        // Release: the item has been read before the cell is filled again.
        cell.state.store(free.wrapping_add(N), Ordering::Release);
        Some(item)
    }

    /// Whether [`pop`](Self::pop) would give nothing. Only the consumer; a hint for
    /// others.
    pub fn is_empty(&self) -> bool {
        let number = self.taken.0.load(Ordering::Relaxed);
        let state = self.cells[number % N].state.load(Ordering::Acquire);
        state != Self::free_in(number).wrapping_add(1)
    }

    /// How many items wait, 0 to `N`, those not yet published included. A hint: it
    /// changes all the time.
    pub fn len(&self) -> usize {
        let taken = self.taken.0.load(Ordering::Relaxed);
        let claimed = self.claimed.0.load(Ordering::Relaxed);
        claimed.wrapping_sub(taken).min(N)
    }

    /// How many pushes found the queue full. Any CPU.
    pub fn overflowed(&self) -> usize {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// How many items have been taken. Any CPU; others than the consumer's see it late.
    pub fn taken(&self) -> usize {
        self.taken.0.load(Ordering::Relaxed)
    }

    /// How many places have been claimed: at least those that happened before.
    pub fn claimed(&self) -> usize {
        self.claimed.0.load(Ordering::Relaxed)
    }

    /// What the state of the cell of place `number` is while it is free for it. It would repeat after
    /// 2^64 pushes, which no machine lives to see.
    const fn free_in(number: usize) -> usize {
        number & !(N - 1)
    }
}

impl<const N: usize> Default for Queue<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The queue has no room. Push later, or push less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// How many items it holds.
    pub capacity: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {} places of the queue are taken", self.capacity)
    }
}

impl core::error::Error for Full {}
