//! The registry of a CPU's timers, started or not. Each timer takes a slot, and other CPUs can list
//! them.

use core::ptr::NonNull;

use crate::sync::IrqMutex;
use crate::timer::node::Node;
use crate::timer::{CAPACITY, Snapshot, TimerError};

/// The slots of a CPU's timers. The interrupt path does not use it. Its lock may be taken in every
/// context in which timers may be used, with interrupts disabled too.
#[derive(Debug)]
pub(super) struct Registry {
    slots: IrqMutex<[Slot; CAPACITY]>,
}

/// A slot, with its timer if it is in use.
#[derive(Clone, Copy, Debug)]
struct Slot(Option<NonNull<Node>>);

// SAFETY: A node in the registry is freed only after it has been removed, under the lock. Of a node
// found there, only atomic or constant data is used.
unsafe impl Send for Slot {}

impl Registry {
    /// A registry with all slots free.
    pub(super) const fn new() -> Self {
        Self {
            slots: IrqMutex::new([Slot(None); CAPACITY]),
        }
    }

    /// Allocates a slot for a new timer of CPU number `cpu`.
    pub(super) fn add(&self, cpu: u32, node: NonNull<Node>) -> Result<(), TimerError> {
        let mut slots = self.slots.lock();
        let free = slots.iter().position(|slot| slot.0.is_none());
        let index = free.ok_or(TimerError::Full(cpu))?;
        slots[index] = Slot(Some(node));
        Ok(())
    }

    /// Frees the slot of a timer that has been removed from the queue. If it were freed earlier,
    /// the queue could get more timers than it has room for.
    pub(super) fn remove(&self, node: NonNull<Node>) {
        let mut slots = self.slots.lock();
        let mut slots = slots.iter_mut();
        if let Some(slot) = slots.find(|slot| slot.0 == Some(node)) {
            *slot = Slot(None);
        }
    }

    /// The first timer at this index or after it, and its index.
    pub(super) fn next(&self, index: usize) -> Option<(usize, Snapshot)> {
        let slots = self.slots.lock();
        let mut after = slots.iter().enumerate().skip(index);
        let (found, node) = after.find_map(|(index, slot)| Some((index, slot.0?)))?;
        // SAFETY: A node in the registry is not freed while the lock is held.
        Some((found, unsafe { node.as_ref() }.snapshot()))
    }
}
