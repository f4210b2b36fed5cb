//! Deferred work: a bounded queue with many producers and one consumer.
//!
//! Producers are all CPUs at all interrupt levels. A producer may be interrupted at any point by
//! another one on the same CPU, which cannot wait for it; so no producer waits. A producer claims a
//! slot by one compare-and-exchange, then fills it, then publishes it. **The consumer stops at a
//! slot that is claimed but not published**, even if later ones are: it returns `None`, so the
//! order is preserved.
//!
//! To lose no item, a producer must **signal the consumer after every push** (for example by a
//! self-IPI, which merges with one that is pending). A producer that was interrupted publishes
//! after the others have signalled, and its own signal then lets the consumer find all items.
//!
//! Items of one producer stay in order. A producer is one CPU at one level, or several of which
//! each pushes only after it has observed the other's push.

use super::sync::{AtomicUsize, Ordering, array, const_fn};
use core::fmt;

/// A queue of at most `N` items, a power of two, at least 2. An item is two words: usually a
/// function and its argument.
#[derive(Debug)]
pub struct Queue<const N: usize> {
    /// Number of slots claimed so far: also the number of the next.
    claimed: Line<AtomicUsize>,
    /// Number of items taken so far. Only the consumer writes it.
    taken: Line<AtomicUsize>,
    overflowed: AtomicUsize,
    cells: [Cell; N],
}

/// A separate cache line: data written by producers does not share one with data written by the
/// consumer.
#[derive(Debug)]
#[repr(align(64))]
struct Line<T>(T);

/// A slot: number n is cell n % N, in the lap that begins with number n - n % N.
#[derive(Debug)]
#[repr(align(32))]
struct Cell {
    /// The first number of the lap while free or claimed; plus 1 while published.
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

/// A slot that a producer has claimed and must publish.
#[derive(Debug)]
#[must_use = "the consumer stops at a cell that is never published"]
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

    /// Appends an item. From any CPU in any context, including NMI. The caller must then signal the
    /// consumer.
    ///
    /// The consumer of the item sees all earlier writes of the caller.
    ///
    /// # Errors
    ///
    /// [`Full`] if `N` items are pending; the queue counts it.
    pub fn push(&self, first: usize, second: usize) -> Result<(), Full> {
        let claim = self.claim()?;
        self.publish(claim, first, second);
        Ok(())
    }

    /// The first half of a push. Retries only if another producer was faster.
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
                // Either other producers have already claimed this cell, or it is still in use.
                let now = self.claimed.0.load(Ordering::Relaxed);
                if now == number {
                    self.overflowed.fetch_add(1, Ordering::Relaxed);
                    return Err(Full { capacity: N });
                }
                number = now;
            }
        }
    }

    /// The second half of a push.
    #[allow(clippy::needless_pass_by_value, reason = "a claim is published once")]
    pub(super) fn publish(&self, claim: Claim, first: usize, second: usize) {
        let Claim { number } = claim;
        let cell = &self.cells[number % N];
        cell.first.store(first, Ordering::Relaxed);
        cell.second.store(second, Ordering::Relaxed);
        // Release: the item is written before.
        cell.state
            .store(Self::free_in(number).wrapping_add(1), Ordering::Release);
    }

    /// Takes the oldest item; `None` if there is none, or if its producer has not published it yet.
    ///
    /// Only for the consumer: one CPU at one level, at which no other code that pops interrupts it.
    /// Two concurrent calls could return the same item.
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

    /// Whether [`pop`](Self::pop) would return `None`. Exact for the consumer; a hint for others.
    pub fn is_empty(&self) -> bool {
        let number = self.taken.0.load(Ordering::Relaxed);
        let state = self.cells[number % N].state.load(Ordering::Acquire);
        state != Self::free_in(number).wrapping_add(1)
    }

    /// Number of pending items, 0 to `N`, including those not yet published. A hint: it may change
    /// at any time.
    pub fn len(&self) -> usize {
        let taken = self.taken.0.load(Ordering::Relaxed);
        let claimed = self.claimed.0.load(Ordering::Relaxed);
        claimed.wrapping_sub(taken).min(N)
    }

    /// Number of pushes that found the queue full. Any CPU.
    pub fn overflowed(&self) -> usize {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Number of items taken. Any CPU; CPUs other than the consumer's see it with a delay.
    pub fn taken(&self) -> usize {
        self.taken.0.load(Ordering::Relaxed)
    }

    /// Number of slots claimed: at least those whose claims happened before the call.
    pub fn claimed(&self) -> usize {
        self.claimed.0.load(Ordering::Relaxed)
    }

    /// The state of the cell of slot `number` while it is free for that number. The values repeat
    /// only after 2^64 pushes, which does not occur in practice.
    const fn free_in(number: usize) -> usize {
        number & !(N - 1)
    }
}

impl<const N: usize> Default for Queue<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The error of a push to a full queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// Number of items that the queue holds.
    pub capacity: usize,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "all {} cells of the queue are in use", self.capacity)
    }
}

impl core::error::Error for Full {}
