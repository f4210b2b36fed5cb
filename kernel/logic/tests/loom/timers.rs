//! A timer that one CPU drops while its function runs, or waits to run, on another.

use crate::calls::at;
use crate::mailbox::{Call, CallList};
use crate::turns::{Finish, Release, Request, Turns};
use crate::{beside, explore};
use loom::cell::UnsafeCell;
use loom::thread::{JoinHandle, spawn};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A timer whose function runs as deferred work, and what its owner is asked to do with it.
struct Timer {
    turns: Turns,
    inbox: CallList,
    close: Call,
    /// Stands for the function: who calls it or frees it writes it.
    function: UnsafeCell<()>,
    /// Stands for the rest: who drops it reads it, and who frees it writes it.
    node: UnsafeCell<()>,
    /// How often it was freed; no part of the model.
    freed: AtomicUsize,
}

impl Timer {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            turns: Turns::new(),
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

    /// Looks whether the timer can go. Returns whether it is gone, or left to its owner.
    fn release(&self) -> bool {
        self.node.with(|_| ());
        match self.turns.release(false) {
            Release::Free => {
                self.free();
                true
            }
            Release::Left => true,
            Release::Wait => false,
        }
    }

    /// Drops it as another CPU does, but for the waiting. Returns whether it came to an end.
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
    /// Whether its function waits to run.
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

    /// Interrupts of the timers' class come here: commands.
    fn point(&mut self) {
        if !self.is_posted {
            self.timer.inbox.serve(at, |_, _| self.is_closed = true);
            return;
        }
        let timer = self.timer.clone();
        timer.inbox.release(at, |_| {
            self.is_closed = true;
            if timer.turns.release(true) == Release::Free {
                timer.free();
            }
        });
    }

    /// The timer fires, if it is in the queue.
    fn fire(&mut self) {
        if !self.is_closed && self.timer.turns.request() == Request::Defer {
            assert!(!self.is_deferred, "deferred twice");
            self.is_deferred = true;
        }
    }

    /// Does the deferred work, if there is any; the timer fires `again` meanwhile.
    fn work(&mut self, again: bool) {
        if !std::mem::take(&mut self.is_deferred) {
            return;
        }
        let timer = self.timer.clone();
        let mut runs = timer.turns.start();
        while runs {
            timer.function.with_mut(|_| self.point());
            self.calls += 1;
            if again && self.calls == 1 {
                self.fire();
            }
            match timer.turns.finish() {
                Finish::Idle => return,
                Finish::Queued if self.has_room => {
                    self.is_deferred = true;
                    return;
                }
                Finish::Queued => {
                    self.point();
                    runs = timer.turns.start();
                }
                Finish::Dead => runs = false,
            }
        }
        timer.free();
    }

    /// The timer fires twice, the second time in its function; the rest comes in its time.
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

    /// What is still to be done on either side. Returns how often the function was called.
    fn end(mut self, is_dropped: bool) -> usize {
        self.point();
        self.work(false);
        assert!(self.is_closed && self.timer.close.is_done());
        if !is_dropped {
            assert!(self.timer.release(), "it runs for ever");
        }
        self.work(false);
        let freed = self.timer.freed.load(Ordering::Relaxed);
        assert_eq!(freed, 1, "not freed once");
        self.calls
    }
}

/// It is freed once, and by nobody while it runs; and the drop comes to an end.
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
fn a_timer_that_waits_to_run_is_left_to_its_owner() {
    drops_it_at_any_time(true, 0, |is_dropped| is_dropped);
}

#[test]
fn a_function_that_runs_is_waited_for() {
    drops_it_at_any_time(true, 1, |is_dropped| !is_dropped);
}

#[test]
fn nothing_changes_where_work_finds_no_room() {
    drops_it_at_any_time(false, 2, |is_dropped| is_dropped);
}

/// A drop under a lock that the function may take does not wait: the owner frees the timer once,
/// and not while the function runs.
#[test]
fn a_timer_is_left_to_its_owner() {
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

/// Who does not ask the owner to close the timer first frees it although it fires again.
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
