//! A lock that keeps out exactly those who may take it.
//!
//! A [`CeilingMutex`] knows the highest class of handler that ever takes it. Who takes it raises CR8
//! to that class first, so none of them can interrupt the holder and find the lock taken on
//! its own CPU; handlers above the ceiling are not delayed at all. This is the stack resource
//! policy of uniprocessor real-time systems. Between CPUs, a ticket lock under the ceiling serves
//! in the order of arrival (the multiprocessor form: raise first, then queue), so the wait is
//! bounded by the other CPUs' sections.

use core::ops::{Deref, DerefMut};

use spin::mutex::{TicketMutex, TicketMutexGuard};
use tocsin_logic::irq::context::Level;
use tocsin_logic::vector::PriorityClass;

use super::priority::{self, Raised};
use crate::cpu::context;

/// A lock for data that threads and handlers up to a class share. It never disables interrupts.
#[derive(Debug)]
pub struct CeilingMutex<T> {
    ceiling: PriorityClass,
    lock: TicketMutex<T>,
}

/// Holds a [`CeilingMutex`]; the priority falls back after the lock is free.
#[derive(Debug)]
pub struct CeilingGuard<'a, T> {
    // Fields are dropped in order: first the lock, then the priority.
    guard: TicketMutexGuard<'a, T>,
    _raised: Raised,
}

impl<T> CeilingMutex<T> {
    /// A free lock around `value` that handlers of class `ceiling` and below may take.
    pub const fn new(ceiling: PriorityClass, value: T) -> Self {
        Self {
            ceiling,
            lock: TicketMutex::new(value),
        }
    }

    /// The highest class that may take it.
    pub const fn ceiling(&self) -> PriorityClass {
        self.ceiling
    }

    /// Takes the lock, waiting behind the CPUs that came before. Threads, and handlers of classes up
    /// to the ceiling; not from NMI or #MC, and not while this CPU holds it already.
    ///
    /// # Panics
    ///
    /// If the caller runs above the ceiling, or with interrupts disabled, which is above every ceiling: it
    /// could have interrupted the holder on its own CPU, and would wait forever.
    #[track_caller]
    pub fn lock(&self) -> CeilingGuard<'_, T> {
        context::require("CeilingMutex::lock", Level::Class(self.ceiling));
        let raised = priority::raise(self.ceiling);
        CeilingGuard {
            guard: self.lock.lock(),
            _raised: raised,
        }
    }
}

impl<T> Deref for CeilingGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for CeilingGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}
