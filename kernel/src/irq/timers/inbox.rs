//! What other CPUs ask of a CPU's timers: commands, in a list that they push to and the owner takes whole.
//!
//! A timer has one request, so who uses the timer waits for the last answer before it asks again.

use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::node::Node;

/// What is asked of a timer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    /// To fire at this time, in nanoseconds since the kernel began, and then each period; 0: once.
    Arm { deadline: u64, period: u64 },
    /// Not to fire.
    Cancel,
    /// Not to fire, and to take no more commands.
    Close,
}

/// A command from another CPU: one at a time.
pub(super) struct Request {
    /// The next in the owner's inbox; who posts writes it, the owner reads it.
    next: AtomicPtr<Node>,
    command: Cell<Command>,
    /// Whether it is in the inbox. What is above belongs to the owner until this is false.
    posted: AtomicBool,
    /// The answer.
    was_pending: Cell<bool>,
}

impl Request {
    /// Of a timer of which nothing has been asked.
    pub(super) fn new() -> Self {
        Self {
            next: AtomicPtr::new(ptr::null_mut()),
            command: Cell::new(Command::Cancel),
            posted: AtomicBool::new(false),
            was_pending: Cell::new(false),
        }
    }

    /// Whether the owner has answered the last one, if there was one.
    pub(super) fn is_done(&self) -> bool {
        !self.posted.load(Ordering::Acquire)
    }

    /// The last answer: whether the timer was going to fire. For who posted, when it is done.
    pub(super) fn was_pending(&self) -> bool {
        self.was_pending.get()
    }
}

/// The nodes with a command for one CPU, linked by their requests, the latest first.
#[derive(Debug)]
pub(super) struct Inbox(AtomicPtr<Node>);

impl Inbox {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.load(Ordering::Relaxed).is_null()
    }

    /// Adds a command for a node whose last request is done, and which is not freed before this one is.
    pub(super) fn push(&self, pointer: NonNull<Node>, command: Command) {
        // SAFETY: 1. The caller does not free it before the request is done.
        let request = unsafe { &pointer.as_ref().request };
        request.command.set(command);
        request.posted.store(true, Ordering::Relaxed);
        let mut latest = self.0.load(Ordering::Relaxed);
        loop {
            request.next.store(latest, Ordering::Relaxed);
            // Release: who finds the node finds its command.
            let pushed = self.0.compare_exchange_weak(
                latest,
                pointer.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            );
            match pushed {
                Ok(_) => break,
                Err(now) => latest = now,
            }
        }
    }

    /// Has `execute` do what has been asked for, the earliest first, and answer whether the timer was going
    /// to fire. Only the owner.
    pub(super) fn answer(&self, mut execute: impl FnMut(NonNull<Node>, Command) -> bool) {
        if self.is_empty() {
            return;
        }
        // The list has the latest first.
        let mut latest = NonNull::new(self.0.swap(ptr::null_mut(), Ordering::Acquire));
        let mut first: Option<NonNull<Node>> = None;
        while let Some(pointer) = latest {
            // SAFETY: 1. Who posted it waits before it frees it.
            let next = unsafe { &pointer.as_ref().request.next };
            let earlier = next.load(Ordering::Relaxed);
            next.store(
                first.map_or(ptr::null_mut(), NonNull::as_ptr),
                Ordering::Relaxed,
            );
            first = Some(pointer);
            latest = NonNull::new(earlier);
        }
        while let Some(pointer) = first {
            // SAFETY: 1. As above, until it is no longer posted.
            let request = unsafe { &pointer.as_ref().request };
            first = NonNull::new(request.next.load(Ordering::Relaxed));
            let was_pending = execute(pointer, request.command.get());
            request.was_pending.set(was_pending);
            request.posted.store(false, Ordering::Release);
        }
    }
}
