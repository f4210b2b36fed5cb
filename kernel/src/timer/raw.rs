//! Direct use of the timer hardware without its queue, for tests and measurements.

use core::marker::PhantomData;
use core::sync::atomic::Ordering;

use tocsin_logic::irq::context::{CALL_CLASS, Level};

use crate::apic::{local, vectors};
use crate::cpu::context;
use crate::timer::AlreadyBorrowed;
use crate::timer::lapic::{self, CountError};
use crate::timer::queue::{self, Queue};

/// The borrowed local APIC timer of a CPU. Its interrupts are counted. The queue's timers are
/// delayed, and fire late, when it is dropped.
#[derive(Debug)]
#[must_use = "the queue gets the timer back when this is dropped"]
pub struct Borrowed {
    queue: &'static Queue,
    not_send: PhantomData<*mut ()>,
}

/// Borrows this CPU's timer from its queue.
///
/// Context: thread or handler up to class 13, interrupts enabled. The timer's last interrupt must
/// not be masked.
///
/// # Errors
///
/// [`AlreadyBorrowed`], if the timer is borrowed already.
///
/// # Panics
///
/// In another context; the message names the rule.
#[track_caller]
pub fn borrow() -> Result<Borrowed, AlreadyBorrowed> {
    context::require("timer::borrow", Level::Class(CALL_CLASS));
    let queue = queue::local(|queue| queue.borrow().then_some(queue)).ok_or(AlreadyBorrowed)?;
    // An interrupt that the queue has caused may still be pending, and must not be counted.
    while local().is_requested(vectors::TIMER) {
        core::hint::spin_loop();
    }
    queue.ticks.store(0, Ordering::Relaxed);
    Ok(Borrowed {
        queue,
        not_send: PhantomData,
    })
}

impl Borrowed {
    /// Starts the timer in one-shot mode: it interrupts once, `nanoseconds` from now.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`CountError`], if the timer cannot count that time.
    pub fn start_once(&self, nanoseconds: u64) -> Result<(), CountError> {
        lapic::start_once(nanoseconds)
    }

    /// Starts the timer in periodic mode: it interrupts every `nanoseconds`, until it is stopped.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`CountError`], if the timer cannot count that time.
    pub fn start_periodic(&self, nanoseconds: u64) -> Result<(), CountError> {
        lapic::start_periodic(nanoseconds)
    }

    /// Starts the timer in TSC-deadline mode: it interrupts once, `nanoseconds` from now.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`CountError`], if the timer lacks TSC-deadline mode.
    pub fn start_deadline(&self, nanoseconds: u64) -> Result<(), CountError> {
        lapic::start_deadline(nanoseconds)
    }

    /// Programs the timer to interrupt at `deadline`, in TSC cycles, or earlier where its counter
    /// is too short.
    ///
    /// Context: thread.
    pub fn set_deadline(&self, deadline: u64) {
        lapic::set_deadline(deadline);
    }

    /// Stops the timer.
    ///
    /// Context: thread.
    pub fn stop(&self) {
        lapic::stop();
    }

    /// The number of timer interrupts since the timer was borrowed.
    ///
    /// Context: thread.
    #[must_use]
    pub fn ticks(&self) -> u64 {
        self.queue.ticks.load(Ordering::Relaxed)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        queue::local(Queue::take_back);
    }
}
