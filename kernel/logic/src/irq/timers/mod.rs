//! The timer queue of a CPU: a bounded priority queue ordered by deadline.
//!
//! It is a binary heap of deadlines over a fixed array. Each timer has a slot with its index in the
//! heap, so that any timer can be removed. Nothing is allocated. All operations are O(log N) or
//! better; reading the first timer takes a few instructions, because it is in the interrupt path.
//! Each CPU has such a queue, so no data is duplicated: an entry in the heap takes 16 bytes, a slot
//! takes 2 bytes and an item.
//!
//! Deadlines are numbers in any unit; the kernel uses cycles of the time-stamp counter. Of equal
//! deadlines, the one that was inserted first comes first.

use crate::irq::queue::Full;

#[cfg(test)]
mod tests;

/// The ID of a timer, from its insertion until it is popped or cancelled. A queue never reuses an
/// ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(Key);

/// Number of insertions up to this one, from 1 on, times the smallest power of two that is at least
/// `N`, plus the slot. So a later key is larger, and none is 0. With 256 timers, the number has 56
/// bits, which suffice for 228 years at ten million insertions per second.
type Key = u64;

/// A timer whose deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<T> {
    /// The timer.
    pub id: Id,
    /// The deadline.
    pub deadline: u64,
    /// The item that was inserted with it.
    pub item: T,
}

/// An entry of the heap.
#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: u64,
    key: Key,
}

impl Entry {
    const NONE: Self = Self {
        deadline: u64::MAX,
        key: 0,
    };

    /// Whether it comes before `other`.
    fn is_before(&self, other: &Self) -> bool {
        (self.deadline, self.key) < (other.deadline, other.key)
    }
}

/// A queue of at most `N` timers, each with an item of type `T`. `N` is 1 to 65535.
#[derive(Debug)]
pub struct Timers<T, const N: usize> {
    length: usize,
    heap: [Entry; N],
    /// By slot: its index in the heap; for a free slot, the next free slot.
    indices: [u16; N],
    /// By slot; `None` in a free one.
    items: [Option<T>; N],
    /// The first free slot, if `length` is below `N`.
    free: u16,
    /// The key of the last insertion, without its slot.
    inserted: Key,
}

impl<T: Copy, const N: usize> Timers<T, N> {
    /// The difference between the keys of two consecutive insertions.
    const STEP: Key = (N as Key).next_power_of_two();

    /// A queue without timers.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0 && N <= u16::MAX as usize, "N must be 1 to 65535") };
        let mut indices = [0; N];
        let mut index = 0;
        while index < N {
            // Below 65536, as asserted.
            indices[index] = index as u16 + 1;
            index += 1;
        }
        Self {
            length: 0,
            heap: [Entry::NONE; N],
            indices,
            items: [None; N],
            free: 0,
            inserted: 0,
        }
    }

    /// Inserts a timer. A deadline in the past is due at once.
    ///
    /// # Errors
    ///
    /// [`Full`], if there are `N`.
    pub fn insert(&mut self, deadline: u64, item: T) -> Result<Id, Full> {
        if self.length == N {
            return Err(Full { capacity: N });
        }
        let slot = usize::from(self.free);
        self.free = self.indices[slot];
        self.items[slot] = Some(item);
        self.length += 1;
        let key = self.next_key(slot);
        self.sift_up(self.length - 1, Entry { deadline, key });
        Ok(Id(key))
    }

    /// Removes a timer. Returns whether it was still in the queue: neither popped nor cancelled.
    pub fn cancel(&mut self, id: Id) -> bool {
        let Some(index) = self.index_of(id) else {
            return false;
        };
        self.length -= 1;
        let last = self.heap[self.length];
        self.heap[self.length] = Entry::NONE;
        if index < self.length {
            self.put(index, last);
        }
        let slot = Self::slot(id.0);
        self.items[slot] = None;
        self.indices[slot] = self.free;
        // Below 65536.
        self.free = slot as u16;
        true
    }

    /// Changes the deadline of a timer, as if it were cancelled and inserted. `None` if it is no
    /// longer in the queue.
    pub fn move_to(&mut self, id: Id, deadline: u64) -> Option<Id> {
        let index = self.index_of(id)?;
        let key = self.next_key(Self::slot(id.0));
        self.put(index, Entry { deadline, key });
        Some(Id(key))
    }

    /// The first timer, if its deadline is `now` or earlier. It stays in the queue.
    #[inline]
    #[must_use]
    pub fn first_due(&self, now: u64) -> Option<Due<T>> {
        let first = self.heap[0];
        if first.deadline > now {
            return None;
        }
        // An empty heap has no item there.
        let item = (*self.items.get(Self::slot(first.key))?)?;
        Some(Due {
            id: Id(first.key),
            deadline: first.deadline,
            item,
        })
    }

    /// Number of timers, 0 to `N`.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether the queue is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The index of a timer in the heap.
    fn index_of(&self, id: Id) -> Option<usize> {
        let index = usize::from(*self.indices.get(Self::slot(id.0))?);
        // The value of a free slot is not an index, but the entry there has another slot or no
        // timer.
        (self.heap.get(index)?.key == id.0).then_some(index)
    }

    /// The key of the next insertion.
    fn next_key(&mut self, slot: usize) -> Key {
        self.inserted = self.inserted.wrapping_add(Self::STEP);
        self.inserted | slot as Key
    }

    /// The slot of a key.
    const fn slot(key: Key) -> usize {
        (key % Self::STEP) as usize
    }

    /// Stores `entry` at `index` of the heap, and updates its slot.
    fn put(&mut self, index: usize, entry: Entry) {
        if index > 0 && entry.is_before(&self.heap[(index - 1) / 2]) {
            self.sift_up(index, entry);
        } else {
            self.sift_down(index, entry);
        }
    }

    /// Inserts `entry` at `index` or closer to the top.
    fn sift_up(&mut self, mut index: usize, entry: Entry) {
        while index > 0 {
            let parent = (index - 1) / 2;
            if !entry.is_before(&self.heap[parent]) {
                break;
            }
            self.set(index, self.heap[parent]);
            index = parent;
        }
        self.set(index, entry);
    }

    /// Inserts `entry` at `index` or further from the top.
    fn sift_down(&mut self, mut index: usize, entry: Entry) {
        loop {
            let mut child = 2 * index + 1;
            if child >= self.length {
                break;
            }
            let right = child + 1;
            if right < self.length && self.heap[right].is_before(&self.heap[child]) {
                child = right;
            }
            if !self.heap[child].is_before(&entry) {
                break;
            }
            self.set(index, self.heap[child]);
            index = child;
        }
        self.set(index, entry);
    }

    fn set(&mut self, index: usize, entry: Entry) {
        self.heap[index] = entry;
        // Below 65536.
        self.indices[Self::slot(entry.key)] = index as u16;
    }
}

impl<T: Copy, const N: usize> Default for Timers<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The next deadline after `deadline` of a periodic timer, and the number of missed periods: those
/// whose deadlines are also at or before `now`. They are counted and skipped, so that a late timer
/// does not fire repeatedly, and the next deadline is still a whole number of periods after the
/// first.
///
/// A `period` of 0 counts as 1. The deadline saturates at the maximum.
#[must_use]
pub fn next_period(deadline: u64, period: u64, now: u64) -> (u64, u64) {
    let period = period.max(1);
    let missed = now.saturating_sub(deadline) / period;
    let ahead = period.saturating_mul(missed).saturating_add(period);
    (deadline.saturating_add(ahead), missed)
}
