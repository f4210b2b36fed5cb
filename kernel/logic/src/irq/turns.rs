//! Whether the function of a timer runs, and who frees it.
//!
//! ```text
//!            begin                 end
//!   IDLE ------------> INTERRUPT ----------> IDLE         in the interrupt
//!
//!           request           start           finish
//!   IDLE ------------> QUEUED ------> RUNNING ------> IDLE         as deferred work
//!                        ^               | request
//!                        |  finish       v
//!                        +------------ AGAIN
//! ```
//!
//! All but [`release`](Turns::release) is for the timer's CPU, its owner; so for the owner only QUEUED can
//! become something else by itself. Who drops the timer first has the owner take it out of the queue:
//! after that nobody begins or requests any more. Then it releases the function. What only waits to run,
//! it leaves to the owner, and so does who is inside the function or in an interrupt of it, where nothing
//! can be waited for: the state becomes DEAD, and whoever comes out of the function, or would go into it,
//! frees it.

use super::sync::{AtomicU8, Ordering, const_fn};

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
const AGAIN: u8 = 3;
const DEAD: u8 = 4;
const INTERRUPT: u8 = 5;

/// The state of one timer's function.
#[derive(Debug)]
pub struct Turns(AtomicU8);

/// What a timer that fires has to do for its function to run as deferred work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Defer it. If that is not possible, [`refuse`](Turns::refuse).
    Defer,
    /// Nothing: it runs, and runs again afterwards.
    Again,
    /// Nothing: it has not run since the last request.
    Waits,
}

/// What becomes of a function that has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Nothing: it may be gone already.
    Idle,
    /// To be deferred again. If that is not possible, to be [started](Turns::start) at once.
    Queued,
    /// To be freed by who finished it.
    Dead,
}

/// What who drops the timer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Frees the function.
    Free,
    /// Nothing: the owner frees it.
    Left,
    /// Asks again: the function runs, and does not wait for the one who asks.
    Wait,
}

impl Turns {
    const_fn! {
        /// Of a function that has not been called.
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

    /// What was called in the interrupt has returned; what is left to deferred work is not touched. Whether
    /// the caller has to free it: if not, it may be gone already.
    #[inline]
    #[must_use]
    pub fn end(&self) -> bool {
        match self.0.load(Ordering::Relaxed) {
            // Release: who sees it may free what the function used.
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
                self.0.store(AGAIN, Ordering::Relaxed);
                Request::Again
            }
            _ => Request::Waits,
        }
    }

    /// What was requested while the function runs is not wanted any more. Whether there was such a request.
    pub fn withdraw(&self) -> bool {
        self.0
            .compare_exchange(AGAIN, RUNNING, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    /// What was requested last could not be deferred.
    pub fn refuse(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    /// It is its turn. Whether the function may be called; if not, the caller frees it.
    #[must_use]
    pub fn start(&self) -> bool {
        // Acquire: who left it uses the timer no more.
        let started =
            self.0
                .compare_exchange(QUEUED, RUNNING, Ordering::Relaxed, Ordering::Acquire);
        started.is_ok()
    }

    /// What was started has returned.
    #[must_use]
    pub fn finish(&self) -> Finish {
        // Release: who sees it may free what the function used.
        let idle = self
            .0
            .compare_exchange(RUNNING, IDLE, Ordering::Release, Ordering::Relaxed);
        let queued = || {
            self.0
                .compare_exchange(AGAIN, QUEUED, Ordering::Relaxed, Ordering::Relaxed)
        };
        if idle.is_ok() {
            Finish::Idle
        } else if queued().is_ok() {
            Finish::Queued
        } else {
            Finish::Dead
        }
    }

    /// The timer has been dropped, and is out of the queue. `is_inside` says whether the function may be one
    /// that this code interrupted: on the owner. Any CPU, until it says something else than to wait.
    #[must_use]
    pub fn release(&self, is_inside: bool) -> Release {
        // Acquire: the function has returned.
        let state = self.0.load(Ordering::Acquire);
        match state {
            IDLE => return Release::Free,
            QUEUED => {}
            RUNNING | AGAIN | INTERRUPT if is_inside => {}
            _ => return Release::Wait,
        }
        // Release: the owner sees that the timer is used no more.
        let left = self
            .0
            .compare_exchange(state, DEAD, Ordering::Release, Ordering::Relaxed);
        match left {
            Ok(_) => Release::Left,
            Err(_) => Release::Wait,
        }
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self::new()
    }
}
