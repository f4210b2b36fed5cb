//! A CPU's timers in the order of their deadlines: a bounded priority queue.
//!
//! A binary heap of deadlines over a fixed array, and a table of slots that knows
//! where in the heap each timer is, so that any of them can be taken out. Nothing
//! is allocated. All operations are O(log N) or better; looking at the first
//! timer is a few instructions, because that is on an interrupt's way.
//!
//! Deadlines are plain numbers, here as a rule cycles of the time-stamp counter. Of
//! equal deadlines, the one that was inserted first comes first.

use crate::irq::queue::Full;

#[cfg(test)]
mod tests;

/// One timer of a queue, from its insertion until it is popped or cancelled. Ids of one
/// queue are never the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id {
    slot: u16,
    /// How many were inserted before it: 64 bits do not wrap in any machine's life.
    number: u64,
}

/// A timer whose deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due<T> {
    /// Which one.
    pub id: Id,
    /// When it was to come.
    pub deadline: u64,
    /// What was inserted with it.
    pub item: T,
}

/// A place in the heap.
#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: u64,
    number: u64,
    slot: u16,
}

impl Entry {
    const NONE: Self = Self {
        deadline: u64::MAX,
        number: 0,
        slot: 0,
    };

    /// Whether it comes before `other`.
    fn is_before(&self, other: &Self) -> bool {
        (self.deadline, self.number) < (other.deadline, other.number)
    }
}

/// What is known of a timer by its [`Id`].
#[derive(Clone, Copy, Debug)]
struct Slot<T> {
    number: u64,
    /// Its place in the heap; of a free slot, the next free one.
    place: u16,
    item: Option<T>,
}

/// At most `N` timers, each with an item of type `T`. `N` is 1 to 65535.
#[derive(Debug)]
pub struct Timers<T, const N: usize> {
    length: usize,
    heap: [Entry; N],
    slots: [Slot<T>; N],
    /// The first free slot, if `length` is below `N`.
    free: u16,
    inserted: u64,
}

impl<T: Copy, const N: usize> Timers<T, N> {
    /// A queue without timers.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0 && N <= u16::MAX as usize, "N must be 1 to 65535") };
        let free = Slot {
            number: 0,
            place: 0,
            item: None,
        };
        let mut slots = [free; N];
        let mut index = 0;
        while index < N {
            // Below 65536, as asserted.
            slots[index].place = index as u16 + 1;
            index += 1;
        }
        Self {
            length: 0,
            heap: [Entry::NONE; N],
            slots,
            free: 0,
            inserted: 0,
        }
    }

    /// Adds a timer. A deadline in the past is due at once.
    ///
    /// # Errors
    ///
    /// [`Full`], if there are `N`.
    pub fn insert(&mut self, deadline: u64, item: T) -> Result<Id, Full> {
        if self.length == N {
            return Err(Full { capacity: N });
        }
        let id = Id {
            slot: self.free,
            number: self.inserted,
        };
        let slot = &mut self.slots[usize::from(id.slot)];
        self.free = slot.place;
        slot.number = id.number;
        slot.item = Some(item);
        self.inserted += 1;
        self.length += 1;
        let entry = Entry {
            deadline,
            number: id.number,
            slot: id.slot,
        };
        self.sift_up(self.length - 1, entry);
        Ok(id)
    }

    /// Takes a timer out. Returns whether it was still there: not popped and not cancelled.
    pub fn cancel(&mut self, id: Id) -> bool {
        let Some(place) = self.place_of(id) else {
            return false;
        };
        self.length -= 1;
        let last = self.heap[self.length];
        self.heap[self.length] = Entry::NONE;
        if place < self.length {
            self.put(place, last);
        }
        let slot = &mut self.slots[usize::from(id.slot)];
        slot.item = None;
        slot.place = self.free;
        self.free = id.slot;
        true
    }

    /// Gives a timer another deadline, as if it were cancelled and inserted. `None` if it is no
    /// longer there.
    pub fn move_to(&mut self, id: Id, deadline: u64) -> Option<Id> {
        let place = self.place_of(id)?;
        let number = self.inserted;
        self.inserted += 1;
        self.slots[usize::from(id.slot)].number = number;
        let entry = Entry {
            deadline,
            number,
            slot: id.slot,
        };
        self.put(place, entry);
        Some(Id {
            slot: id.slot,
            number,
        })
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
        let item = self.slots.get(usize::from(first.slot))?.item?;
        Some(Due {
            id: Id {
                slot: first.slot,
                number: first.number,
            },
            deadline: first.deadline,
            item,
        })
    }

    /// How many timers there are, 0 to `N`.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where in the heap a timer is.
    fn place_of(&self, id: Id) -> Option<usize> {
        let slot = self.slots.get(usize::from(id.slot))?;
        (slot.number == id.number && slot.item.is_some()).then_some(usize::from(slot.place))
    }

    /// Fills a place with another entry than was there.
    fn put(&mut self, place: usize, entry: Entry) {
        if place > 0 && entry.is_before(&self.heap[(place - 1) / 2]) {
            self.sift_up(place, entry);
        } else {
            self.sift_down(place, entry);
        }
    }

    /// Puts `entry` at `place` or nearer to the top.
    fn sift_up(&mut self, mut place: usize, entry: Entry) {
        while place > 0 {
            let parent = (place - 1) / 2;
            if !entry.is_before(&self.heap[parent]) {
                break;
            }
            self.set(place, self.heap[parent]);
            place = parent;
        }
        self.set(place, entry);
    }

    /// Puts `entry` at `place` or further from the top.
    fn sift_down(&mut self, mut place: usize, entry: Entry) {
        loop {
            let mut child = 2 * place + 1;
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
            self.set(place, self.heap[child]);
            place = child;
        }
        self.set(place, entry);
    }

    fn set(&mut self, place: usize, entry: Entry) {
        self.heap[place] = entry;
        // Below 65536.
        self.slots[usize::from(entry.slot)].place = place as u16;
    }
}

impl<T: Copy, const N: usize> Default for Timers<T, N> {
    fn default() -> Self {
        Self::new()
    }
}

/// The deadline after `deadline` of a timer with a period, and how many periods were missed: those
/// whose deadlines are `now` or earlier too. They are counted and left out, so that a late
/// timer does not fire again and again, and the next deadline is still a whole number of periods
/// after the first.
///
/// `period` counts as 1 if it is 0. Where time ends, so do the deadlines.
#[must_use]
pub fn next_period(deadline: u64, period: u64, now: u64) -> (u64, u64) {
    let period = period.max(1);
    let missed = now.saturating_sub(deadline) / period;
    let ahead = period.saturating_mul(missed).saturating_add(period);
    (deadline.saturating_add(ahead), missed)
}
