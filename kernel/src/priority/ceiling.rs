//! A priority-ceiling spinlock.
//!
//! A [`CeilingMutex`] has a ceiling: the highest class of code that takes it. Its holder runs with
//! CR8 raised to that class, so no handler that takes the lock can interrupt the holder on the same
//! CPU; handlers above the ceiling are not delayed. This is the stack resource policy of
//! uniprocessor real-time systems. Between CPUs, a ticket lock under the ceiling serves in the
//! order of arrival (the multiprocessor form: raise first, then queue).
//!
//! # The bound of a wait
//!
//! A CPU waits for the critical sections of the CPUs that queued before it, at most one for each
//! other CPU, **and for all handlers above the ceiling that run on those CPUs meanwhile**. Such
//! handlers preempt the holder, and they preempt waiters: when a preempted waiter is next, the lock
//! stays idle and all CPUs behind it wait. With m CPUs, critical sections of length s, and handlers
//! above the ceiling that take up to h on one CPU in the course of the wait, a wait is bounded by
//! `(m - 1) * (s + h)` plus the handlers on the waiting CPU itself. If this is too long, give the
//! lock a higher ceiling: then fewer handlers preempt its holders, at the cost of their latency.
//!
//! # Above the ceiling
//!
//! Code that runs above a lock's ceiling must not take it, whether its class is that of an
//! interrupt in service or of CR8: a waiter at class 9 masks interrupts of class 9 on its CPU, and
//! the holder of a lock with ceiling 6 may wait for one of them. So a lock is rejected while the
//! CPU holds one with a higher ceiling. Where such nesting is needed, give the inner lock the
//! higher ceiling. Guards may be dropped in any order. As with any locks, all code must take two
//! locks of the same ceiling in the same order.

use core::ops::{Deref, DerefMut};
#[cfg(debug_assertions)]
use core::sync::atomic::AtomicPtr;
use core::sync::atomic::{AtomicU32, Ordering};

use spin::mutex::{TicketMutex, TicketMutexGuard};
use tocsin_logic::irq::context::Limit;
#[cfg(debug_assertions)]
use tocsin_logic::units::Nanoseconds;
use tocsin_logic::vector::PriorityClass;

use super::Raised;
use crate::cpu::{self, context};
#[cfg(debug_assertions)]
use crate::time::{LongWait, WAIT_LIMIT};

/// A priority-ceiling spinlock for data that threads and handlers up to a class share. It never
/// disables interrupts.
#[derive(Debug)]
pub struct CeilingMutex<T> {
    /// The highest class of code that takes the lock.
    ceiling: PriorityClass,
    /// The number of the CPU that holds the lock, plus 1; 0 if it is free.
    holder: AtomicU32,
    lock: TicketMutex<T, SpinRelax>,
}

/// The guard of a [`CeilingMutex`]. The drop frees the lock and then lowers the priority.
#[derive(Debug)]
pub struct CeilingGuard<'a, T> {
    // Fields are dropped in order: the lock is free before the priority is lowered.
    _holder: Holder<'a>,
    guard: TicketMutexGuard<'a, T, SpinRelax>,
    _raised: Raised,
}

/// The record of the CPU that holds a lock, cleared on drop.
#[derive(Debug)]
struct Holder<'a>(&'a AtomicU32);

impl Drop for Holder<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl<T> CeilingMutex<T> {
    /// Creates a free lock around `value` that handlers of class `ceiling` and below may take.
    ///
    /// Context: any.
    pub const fn new(ceiling: PriorityClass, value: T) -> Self {
        Self {
            ceiling,
            holder: AtomicU32::new(0),
            lock: TicketMutex::new(value),
        }
    }

    /// The class to which the holder's priority is raised: the highest class of code that takes the
    /// lock.
    ///
    /// Context: any.
    #[inline]
    pub const fn ceiling(&self) -> PriorityClass {
        self.ceiling
    }

    /// Takes the lock, behind the CPUs that are already waiting.
    ///
    /// Context: thread or handler up to the ceiling, interrupts enabled. Not while this CPU holds
    /// the lock already.
    ///
    /// # Panics
    ///
    /// Above the ceiling, by the interrupt in service or by CR8, or with interrupts disabled, which
    /// is above every ceiling: the code could have interrupted the holder on its own CPU, or keep
    /// the holder on another CPU waiting, and would deadlock. Also if the CPU already holds the
    /// lock. The message names the rule.
    #[inline]
    #[track_caller]
    pub fn lock(&self) -> CeilingGuard<'_, T> {
        context::require_limit("CeilingMutex::lock", Limit::Ceiling(self.ceiling));
        let raised = super::raise(self.ceiling);
        // No closure, so that the report of a violation names the caller.
        let guard = match self.lock.try_lock() {
            Some(guard) => guard,
            None => self.wait(),
        };
        self.holder
            .store(cpu::current().id() + 1, Ordering::Relaxed);
        CeilingGuard {
            _holder: Holder(&self.holder),
            guard,
            _raised: raised,
        }
    }

    /// Waits behind the CPUs that queued before. A long wait is logged in a debug build.
    #[cold]
    #[track_caller]
    fn wait(&self) -> TicketMutexGuard<'_, T, SpinRelax> {
        let cpu = cpu::current();
        assert!(
            self.holder.load(Ordering::Relaxed) != cpu.id() + 1,
            "ceiling: lock of class {}: CPU {} takes a lock that it holds (it would wait forever; drop the first \
             guard before)",
            self.ceiling,
            cpu.id()
        );
        #[cfg(debug_assertions)]
        let mut wait = Wait {
            long_wait: LongWait::new(),
            ceiling: self.ceiling,
            holder: &self.holder,
        };
        #[cfg(debug_assertions)]
        let before = LOCK_WAIT
            .of(cpu)
            .swap((&raw mut wait).cast(), Ordering::Relaxed);
        let guard = self.lock.lock();
        #[cfg(debug_assertions)]
        LOCK_WAIT.of(cpu).store(before, Ordering::Relaxed);
        guard
    }
}

#[cfg(debug_assertions)]
crate::cpu_local! {
    /// The innermost wait for a ceiling lock; null if there is none.
    static LOCK_WAIT: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
}

/// A wait for a ceiling lock.
#[cfg(debug_assertions)]
struct Wait {
    long_wait: LongWait,
    ceiling: PriorityClass,
    holder: *const AtomicU32,
}

/// The step between two polls of the lock: in a debug build, it measures the time.
#[derive(Debug)]
pub struct SpinRelax;

impl spin::RelaxStrategy for SpinRelax {
    #[inline]
    fn relax() {
        core::hint::spin_loop();
        #[cfg(debug_assertions)]
        check_wait();
    }
}

#[cfg(debug_assertions)]
fn check_wait() {
    let wait = LOCK_WAIT.here().load(Ordering::Relaxed);
    // SAFETY: The pointer is null or points to the wait of the running code: handlers that wait
    // meanwhile restore it. Only this CPU uses it, and the code that created the wait has no
    // reference to it.
    let Some(wait) = (unsafe { wait.cast::<Wait>().as_mut() }) else {
        return;
    };
    if wait.long_wait.poll() {
        // SAFETY: The lock outlives the wait for it.
        let holder = unsafe { &*wait.holder }.load(Ordering::Relaxed);
        let Some(holder) = holder.checked_sub(1) else {
            return;
        };
        log::warn!(
            "ceiling: lock of class {}: CPU {} has waited {} for CPU {holder}, which holds the lock (a handler \
             above the ceiling may keep the holder or the next in the queue from running; `backtrace {holder}` \
             shows where)",
            wait.ceiling,
            cpu::current().id(),
            Nanoseconds(WAIT_LIMIT)
        );
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
