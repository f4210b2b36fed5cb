//! The callback state of a timer: whether its function runs, and which code frees it.
//!
//! ```text
//!            begin                 end
//!   IDLE ------------> INTERRUPT ----------> IDLE         in the interrupt
//!
//!           request           start           finish
//!   IDLE ------------> QUEUED ------> RUNNING ------> IDLE         as deferred work
//!                        ^               | request
//!                        |  finish       v
//!                        +------------ RERUN
//! ```
//!
//! All operations except [`release`](CallbackState::release) are for the timer's CPU, its owner; so
//! QUEUED is the only state that can change while the owner examines it. A drop first makes the
//! owner remove the timer from the queue; no `begin` or `request` follows. Then it calls `release`.
//! If the function is only queued, or if the drop occurs within the function or in an interrupt of
//! it, where it cannot wait, the state becomes DEAD, and the owner frees the function when it
//! returns or before it would be called.

use super::sync::{AtomicU8, Ordering, const_fn};

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const RERUN: u8 = 3;
const DEAD: u8 = 4;
const INTERRUPT: u8 = 5;

/// The state of one timer's function.
#[derive(Debug)]
pub struct CallbackState(AtomicU8);

/// The action by which a timer that fires runs its function as deferred work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Defer it. If that is not possible, [`refuse`](CallbackState::refuse).
    Defer,
    /// None: the function is running, and runs again afterwards.
    Rerun,
    /// None: the function has not run since the last request.
    Pending,
}

/// The next step after a function has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// None: the function may already have been freed.
    Idle,
    /// Defer it again. If that is not possible, [start](CallbackState::start) it at once.
    Requeue,
    /// The caller of `finish` frees it.
    Free,
}

/// The action required of the code that drops the timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Free the function.
    Free,
    /// None: the owner frees it.
    OwnerFrees,
    /// Call `release` again: the function is running, and does not wait for the caller.
    Retry,
}

impl CallbackState {
    const_fn! {
        /// The state of a function that has not been called.
        #[must_use]
        pub fn new() -> Self {
            Self(AtomicU8::new(IDLE))
        }
    }

    /// The function is about to be called in the interrupt.
    #[inline]
    pub fn begin(&self) {
        self.0.store(INTERRUPT, Ordering::Relaxed);
    }

    /// The function that was called in the interrupt has returned; the states of deferred work do
    /// not change. Returns whether the caller must free the node; if not, it may be freed already.
    #[inline]
    #[must_use]
    pub fn end(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            // Release: the CPU that sees this may free the data that the function used.
            INTERRUPT => self.0.store(IDLE, Ordering::Release),
            DEAD => return true,
            _ => {}
        }
        false
    }

    /// The timer fires, and its function is to run as deferred work.
    pub fn request(&self) -> Request {
        match self.0.load(Ordering::Relaxed) {
            IDLE => {
                self.0.store(QUEUED, Ordering::Relaxed);
                Request::Defer
            }
            RUNNING => {
                self.0.store(RERUN, Ordering::Relaxed);
                Request::Rerun
            }
            _ => Request::Pending,
        }
    }

    /// Withdraws a request that arrived while the function runs. Returns whether there was one.
    pub fn withdraw(&self) -> bool {
        self.0
            .compare_exchange(RERUN, RUNNING, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// The last request could not be deferred.
    pub fn refuse(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    /// The deferred work runs. Returns whether the function may be called; if not, the caller frees
    /// the node.
    #[must_use]
    pub fn start(&self) -> bool {
        // Acquire: the code that left the function to the owner no longer uses the timer.
        let started =
            self.0
                .compare_exchange(QUEUED, RUNNING, Ordering::Relaxed, Ordering::Acquire);
        started.is_ok()
    }

    /// The function has returned. Returns the next step.
    #[must_use]
    pub fn finish(&self) -> Finish {
        // Release: the CPU that sees this may free the data that the function used.
        let idle = self
            .0
            .compare_exchange(RUNNING, IDLE, Ordering::Release, Ordering::Relaxed);
        let queued = || {
            self.0
                .compare_exchange(RERUN, QUEUED, Ordering::Relaxed, Ordering::Relaxed)
        };
        if idle.is_ok() {
            Finish::Idle
        } else if queued().is_ok() {
            Finish::Requeue
        } else {
            Finish::Free
        }
    }

    /// The timer has been dropped and removed from the queue. `is_inside`: the caller runs on the
    /// owner and may have interrupted the function. For any CPU; must be repeated while the result
    /// is [`Release::Retry`].
    #[must_use]
    pub fn release(&self, is_inside: bool) -> Release {
        // Acquire: the function has returned.
        let state = self.0.load(Ordering::Acquire);
        match state {
            IDLE => return Release::Free,
            QUEUED => {}
            RUNNING | RERUN | INTERRUPT if is_inside => {}
            _ => return Release::Retry,
        }
        // Release: the owner sees that the timer is no longer used.
        let left = self
            .0
            .compare_exchange(state, DEAD, Ordering::Release, Ordering::Relaxed);
        match left {
            Ok(_) => Release::OwnerFrees,
            Err(_) => Release::Retry,
        }
    }
}

impl Default for CallbackState {
    fn default() -> Self {
        Self::new()
    }
}
