//! A timer that one CPU drops while its function runs or is queued on another.

use crate::callback::{CallbackState, Finish, Release, Request};
use crate::calls::at;
use crate::mailbox::{Call, CallList};
use crate::{beside, explore};
use loom::cell::UnsafeCell;
use loom::thread::{JoinHandle, spawn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A timer whose function runs as deferred work, and the commands to its owner.
struct Timer {
    callback: CallbackState,
    inbox: CallList,
    close: Call,
    /// Represents the function: calling it or freeing it writes it.
    function: UnsafeCell<()>,
    /// Represents the rest of the node: dropping the timer reads it, and freeing it writes it.
    node: UnsafeCell<()>,
    /// Number of times it was freed; not part of the model.
    freed: AtomicUsize,
}

impl Timer {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            callback: CallbackState::new(),
            inbox: CallList::new(),
            close: Call::new(0, 0),
            function: UnsafeCell::new(()),
            node: UnsafeCell::new(()),
            freed: AtomicUsize::new(0),
        })
    }

    fn free(&self) {
        self.function.with_mut(|_| ());
        self.node.with_mut(|_| ());
        self.freed.fetch_add(1, Ordering::Relaxed);
    }

    /// Frees the timer, if possible. Returns whether it is freed or left to its owner.
    fn release(&self) -> bool {
        self.node.with(|_| ());
        match self.callback.release(false) {
            Release::Free => {
                self.free();
                true
            }
            Release::OwnerFrees => true,
            Release::Retry => false,
        }
    }

    /// Drops it as another CPU does, without the wait. Returns whether the drop is complete.
    fn begin_drop(&self) -> bool {
        self.inbox.post(&self.close);
        self.close.is_done() && self.release()
    }
}

/// The CPU that the timer belongs to.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a state of its own in the model"
)]
struct Owner {
    timer: Arc<Timer>,
    is_closed: bool,
    /// Whether the drop leaves the timer to the owner.
    is_posted: bool,
    /// Whether its function is queued.
    is_deferred: bool,
    /// Whether there is room for deferred work.
    has_room: bool,
    calls: usize,
}

impl Owner {
    fn new(timer: &Arc<Timer>, has_room: bool) -> Self {
        Self {
            timer: timer.clone(),
            is_closed: false,
            is_posted: false,
            is_deferred: false,
            has_room,
            calls: 0,
        }
    }

    /// A point where interrupts of the timers' class can be delivered: commands.
    fn point(&mut self) {
        if !self.is_posted {
            self.timer.inbox.serve(at, |_, _| self.is_closed = true);
            return;
        }
        let timer = self.timer.clone();
        timer.inbox.release(at, |_| {
            self.is_closed = true;
            if timer.callback.release(true) == Release::Free {
                timer.free();
            }
        });
    }

    /// The timer fires, if it is in the queue.
    fn fire(&mut self) {
        if !self.is_closed && self.timer.callback.request() == Request::Defer {
            assert!(!self.is_deferred, "deferred twice");
            self.is_deferred = true;
        }
    }

    /// Runs the pending deferred work; with `again`, the timer fires meanwhile.
    fn work(&mut self, again: bool) {
        if !std::mem::take(&mut self.is_deferred) {
            return;
        }
        let timer = self.timer.clone();
        let mut runs = timer.callback.start();
        while runs {
            timer.function.with_mut(|_| self.point());
            self.calls += 1;
            if again && self.calls == 1 {
                self.fire();
            }
            match timer.callback.finish() {
                Finish::Idle => return,
                Finish::Requeue if self.has_room => {
                    self.is_deferred = true;
                    return;
                }
                Finish::Requeue => {
                    self.point();
                    runs = timer.callback.start();
                }
                Finish::Free => runs = false,
            }
        }
        timer.free();
    }

    /// The timer fires twice, the second time in its function.
    fn run(timer: &Arc<Timer>, has_room: bool) -> JoinHandle<Self> {
        let mut owner = Self::new(timer, has_room);
        spawn(move || {
            owner.fire();
            owner.point();
            owner.work(true);
            owner.point();
            owner.work(false);
            owner
        })
    }

    /// Completes the work of both sides. Returns the number of calls of the function.
    fn end(mut self, is_dropped: bool) -> usize {
        self.point();
        self.work(false);
        assert!(self.is_closed && self.timer.close.is_done());
        if !is_dropped {
            assert!(self.timer.release(), "endless run");
        }
        self.work(false);
        let freed = self.timer.freed.load(Ordering::Relaxed);
        assert_eq!(freed, 1, "not freed once");
        self.calls
    }
}

/// It is freed once, and not while its function runs; and the drop ends.
fn drops_it_at_any_time(has_room: bool, calls: usize, is_to_the_point: fn(bool) -> bool) {
    explore(Some(3), move || {
        let timer = Timer::new();
        let owner = Owner::run(&timer, has_room);
        let dropper = beside(&timer, Timer::begin_drop);
        let is_dropped = dropper.join().unwrap();
        let called = owner.join().unwrap().end(is_dropped);
        assert!(called <= 2);
        called == calls && is_to_the_point(is_dropped)
    });
}

#[test]
fn a_timer_is_freed_once_when_it_has_run_twice() {
    drops_it_at_any_time(true, 2, |is_dropped| is_dropped);
}

#[test]
fn the_owner_frees_a_queued_timer() {
    drops_it_at_any_time(true, 0, |is_dropped| is_dropped);
}

#[test]
fn a_function_that_runs_is_waited_for() {
    drops_it_at_any_time(true, 1, |is_dropped| !is_dropped);
}

#[test]
fn a_full_queue_of_work_changes_nothing() {
    drops_it_at_any_time(false, 2, |is_dropped| is_dropped);
}

/// A drop under a lock that the function may take does not wait: the owner frees the timer once,
/// and not while the function runs.
#[test]
fn the_owner_frees_a_dropped_timer() {
    explore(Some(3), || {
        let timer = Timer::new();
        let mut owner = Owner::new(&timer, true);
        owner.is_posted = true;
        let owner = spawn(move || {
            owner.fire();
            owner.point();
            owner.work(true);
            owner.point();
            owner.work(false);
            owner
        });
        let dropper = beside(&timer, |timer| {
            timer.node.with(|_| ());
            timer.inbox.post(&timer.close);
        });
        dropper.join().unwrap();
        let calls = owner.join().unwrap().end(true);
        assert!(calls <= 2);
        calls == 1
    });
}

/// Without the command to close it, the timer is freed although it fires again.
#[test]
#[should_panic(expected = "Causality violation")]
fn the_command_to_close_is_needed() {
    explore(Some(3), || {
        let timer = Timer::new();
        let owner = Owner::run(&timer, true);
        let dropper = beside(&timer, Timer::release);
        let is_dropped = dropper.join().unwrap();
        let owner = owner.join().unwrap();
        timer.inbox.post(&timer.close);
        owner.end(is_dropped);
        true
    });
}
