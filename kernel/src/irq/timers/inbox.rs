//! What other CPUs ask of a CPU's timers: commands, each posted to the owner as a [`Call`].
//!
//! A timer has one request, so who uses the timer waits for the last answer before it asks again.

use core::cell::Cell;
use core::ptr::NonNull;

use tocsin_logic::irq::mailbox::{Call, Posted};

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
    /// Its argument is the node. What is below belongs to the owner until it is done.
    call: Call,
    command: Cell<Command>,
    /// The answer.
    was_pending: Cell<bool>,
}

impl Request {
    /// Of a timer of which nothing has been asked.
    pub(super) fn new() -> Self {
        Self {
            call: Call::free(),
            command: Cell::new(Command::Cancel),
            was_pending: Cell::new(false),
        }
    }

    /// Whether the owner has answered the last one, if there was one.
    pub(super) fn is_done(&self) -> bool {
        self.call.is_done()
    }

    /// The last answer: whether the timer was going to fire. For who posted, when it is done.
    pub(super) fn was_pending(&self) -> bool {
        self.was_pending.get()
    }
}

/// The commands that wait for one CPU.
#[derive(Debug)]
pub(super) struct Inbox(Posted);

impl Inbox {
    pub(super) const fn new() -> Self {
        Self(Posted::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a command for a node whose last request is done, and which is not freed before this one is.
    pub(super) fn push(&self, pointer: NonNull<Node>, command: Command) {
        // SAFETY: 1. The caller does not free it before the request is done.
        let request = unsafe { &pointer.as_ref().request };
        let is_free = request.call.take(0, pointer.as_ptr() as usize);
        debug_assert!(is_free, "the last command waits");
        request.command.set(command);
        self.0.post(&request.call);
    }

    /// Has `execute` do what has been asked for, the earliest first, and answer whether the timer was going
    /// to fire. Only the owner.
    pub(super) fn answer(&self, mut execute: impl FnMut(NonNull<Node>, Command) -> bool) {
        if self.is_empty() {
            return;
        }
        // SAFETY: 1. Who posted it waits before it frees it. 2. A call is all atomics.
        let at = |call: *const Call| unsafe { &*call };
        self.0.serve(at, |_, node| {
            let Some(pointer) = NonNull::new(node as *mut Node) else {
                return;
            };
            // SAFETY: 1. As above.
            let request = unsafe { &pointer.as_ref().request };
            let was_pending = execute(pointer, request.command.get());
            request.was_pending.set(was_pending);
        });
    }
}
