//! The guards that raise a CPU's priority, which may be dropped in any order.
//!
//! A CPU has one [`Stack`] with an entry for each guard: the class that the guard asks for, and the
//! class to which the CPU returns without it. A guard that is dropped before later guards passes
//! the latter class to the next one.
//!
//! Only the CPU itself uses its stack, but an interrupt may arrive between any two accesses. Its
//! handler pushes entries above the existing ones and removes them again, so the entries of the
//! interrupted code do not change. A guard that a handler leaks stays in the stack.

use core::ops::Range;
use core::sync::atomic::{
    AtomicU8,
    Ordering::{Relaxed, SeqCst},
    compiler_fence,
};

use crate::vector::PriorityClass;

/// Maximum number of guards of a CPU at a time.
pub const GUARDS: usize = 64;

/// One guard.
#[derive(Debug)]
struct Entry {
    /// The class that it requires, or [`REMOVED`].
    class: AtomicU8,
    /// The class to which the CPU returns without the guard.
    previous: AtomicU8,
    /// The depth of the stack without the guard.
    below: AtomicU8,
}

/// The class of an entry whose guard has been dropped.
const REMOVED: u8 = 0xff;

/// The guards of one CPU.
#[derive(Debug)]
pub struct Stack {
    depth: AtomicU8,
    entries: [Entry; GUARDS],
}

/// The index of a guard in the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Index(u8);

impl Stack {
    /// An empty stack.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            depth: AtomicU8::new(0),
            entries: [const {
                Entry {
                    class: AtomicU8::new(REMOVED),
                    previous: AtomicU8::new(0),
                    below: AtomicU8::new(0),
                }
            }; GUARDS],
        }
    }

    /// Adds a guard that asks for `class` on a CPU whose CR8 is `previous`. The caller must then
    /// set CR8 to the higher of the two. `None` if there are [`GUARDS`] already.
    #[inline]
    #[must_use]
    pub fn push(&self, class: PriorityClass, previous: PriorityClass) -> Option<Index> {
        let index = self.depth.load(Relaxed);
        let entry = self.entries.get(usize::from(index))?;
        // The depth first, so that a handler uses the entries above.
        self.depth.store(index + 1, Relaxed);
        compiler_fence(SeqCst);
        entry.class.store(class.get(), Relaxed);
        entry.previous.store(previous.get(), Relaxed);
        entry.below.store(index, Relaxed);
        Some(Index(index))
    }

    /// Removes a guard. Returns the class to which the caller must set CR8.
    #[inline]
    #[must_use]
    pub fn remove(&self, index: Index) -> PriorityClass {
        let entry = &self.entries[usize::from(index.0)];
        let previous = entry.previous.load(Relaxed);
        let below = entry.below.load(Relaxed);
        let depth = self.depth.load(Relaxed);
        entry.class.store(REMOVED, Relaxed);
        if depth != index.0 + 1 {
            return self.remove_below(index.0 + 1..depth, previous, below);
        }
        self.depth.store(below, Relaxed);
        class(previous)
    }

    /// Removes a guard that has these entries above it, of which the last is in use.
    #[cold]
    #[inline(never)]
    fn remove_below(&self, above: Range<u8>, previous: u8, below: u8) -> PriorityClass {
        let mut level = previous;
        let mut below = Some(below);
        for number in above {
            let entry = &self.entries[usize::from(number)];
            let own = entry.class.load(Relaxed);
            if own != REMOVED {
                entry.previous.store(level, Relaxed);
                if let Some(below) = below.take() {
                    entry.below.store(below, Relaxed);
                }
                level = level.max(own);
            }
        }
        class(level)
    }

    /// Number of entries in use, including those of dropped guards, except that the last is never
    /// one.
    #[must_use]
    pub fn depth(&self) -> u8 {
        self.depth.load(Relaxed)
    }
}

impl Default for Stack {
    fn default() -> Self {
        Self::new()
    }
}

/// The class with this number, which was obtained from a class.
#[inline]
fn class(number: u8) -> PriorityClass {
    PriorityClass::new(number).unwrap_or(PriorityClass::HIGHEST)
}

#[cfg(test)]
mod tests {
    use super::{GUARDS, Index, Stack};
    use crate::vector::PriorityClass;
    use std::vec::Vec;

    fn class(number: u8) -> PriorityClass {
        PriorityClass::new(number).unwrap()
    }

    /// A CPU with guards, compared with the highest class that they require.
    struct Cpu {
        stack: Stack,
        cr8: PriorityClass,
        held: Vec<(Index, u8)>,
    }

    impl Cpu {
        fn new() -> Self {
            Self {
                stack: Stack::new(),
                cr8: class(0),
                held: Vec::new(),
            }
        }

        fn raise(&mut self, number: u8) {
            let index = self.stack.push(class(number), self.cr8).expect("room");
            self.cr8 = self.cr8.max(class(number));
            self.held.push((index, number));
        }

        fn lower(&mut self, index: usize) {
            let (index, _) = self.held.remove(index);
            self.cr8 = self.stack.remove(index);
        }

        fn check(&self) {
            let highest = self.held.iter().map(|&(_, number)| number).max();
            assert_eq!(self.cr8, class(highest.unwrap_or(0)));
            if self.held.is_empty() {
                assert_eq!(self.stack.depth(), 0);
            }
        }
    }

    #[test]
    fn guards_are_dropped_in_every_order() {
        // All sequences of up to 4 guards of 3 classes, dropped in all orders.
        for number in 0..3_usize.pow(4) * 24 {
            let mut cpu = Cpu::new();
            for digit in 0..4 {
                cpu.raise([3, 6, 9][number / 24 / 3_usize.pow(digit) % 3]);
                cpu.check();
            }
            let mut order = number % 24;
            for left in (1..=4).rev() {
                cpu.lower(order % left);
                order /= left;
                cpu.check();
            }
        }
    }

    #[test]
    fn raising_and_lowering_alternate() {
        // A linear congruential generator, so that all runs are equal.
        let mut random = 1_u64;
        let mut next = |limit: usize| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 33) as usize % limit
        };
        let mut cpu = Cpu::new();
        for _ in 0..100_000 {
            let is_room = usize::from(cpu.stack.depth()) < GUARDS;
            if cpu.held.is_empty() || is_room && next(2) == 0 {
                cpu.raise(next(16) as u8);
            } else {
                cpu.lower(next(cpu.held.len()));
            }
            cpu.check();
        }
    }

    #[test]
    fn a_handler_interrupts_a_guard_that_is_being_created() {
        // The guard is in the stack, but CR8 is not raised yet.
        let cpu = Cpu::new();
        let outer = cpu.stack.push(class(9), class(2)).unwrap();
        let first = cpu.stack.push(class(6), class(2)).unwrap();
        let second = cpu.stack.push(class(4), class(6)).unwrap();
        assert_eq!(cpu.stack.remove(first), class(4));
        assert_eq!(cpu.stack.remove(second), class(2), "as it was");
        assert_eq!(cpu.stack.remove(outer), class(2));
    }

    #[test]
    fn leaked_guards_are_limited() {
        let stack = Stack::new();
        for _ in 0..GUARDS {
            assert!(stack.push(class(6), class(6)).is_some());
        }
        assert_eq!(stack.push(class(6), class(6)), None);
    }
}
