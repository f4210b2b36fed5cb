//! The timers that a CPU has, started or not: each takes a place, and can be seen by others.

use core::ptr::NonNull;

use crate::sync::IrqMutex;
use crate::timer::node::Node;
use crate::timer::{CAPACITY, Row, TimerError};

/// The slots of a CPU's timers. The interrupt path does not use it. Its lock may be taken wherever
/// timers may be used, with interrupts disabled too.
#[derive(Debug)]
pub(super) struct Registry {
    places: IrqMutex<[Place; CAPACITY]>,
}

/// The timer that has the place, if one does.
#[derive(Clone, Copy, Debug)]
struct Place(Option<NonNull<Node>>);

// SAFETY: 1. A node in the registry is freed only after it has been taken out, under the lock. 2. Of
// a node found there, only what is atomic or constant is used.
unsafe impl Send for Place {}

impl Registry {
    /// All places free.
    pub(super) const fn new() -> Self {
        Self {
            places: IrqMutex::new([Place(None); CAPACITY]),
        }
    }

    /// Gives a new timer of CPU number `cpu` a place.
    pub(super) fn add(&self, cpu: u32, node: NonNull<Node>) -> Result<(), TimerError> {
        let mut places = self.places.lock();
        let free = places.iter().position(|place| place.0.is_none());
        let index = free.ok_or(TimerError::Full(cpu))?;
        places[index] = Place(Some(node));
        Ok(())
    }

    /// Frees the slot of a timer that has been removed from the queue. If it were freed earlier,
    /// the queue could get more timers than it has room for.
    pub(super) fn remove(&self, node: NonNull<Node>) {
        let mut places = self.places.lock();
        let mut places = places.iter_mut();
        if let Some(place) = places.find(|place| place.0 == Some(node)) {
            *place = Place(None);
        }
    }

    /// The first timer in this place or after it, and its place.
    pub(super) fn next(&self, index: usize) -> Option<(usize, Row)> {
        let places = self.places.lock();
        let mut after = places.iter().enumerate().skip(index);
        let (found, node) = after.find_map(|(index, place)| Some((index, place.0?)))?;
        // SAFETY: 1. What is in the registry is not freed before the lock is.
        Some((found, unsafe { node.as_ref() }.row()))
    }
}
