//! Commands from other CPUs for a CPU's timers. A command is in the slot of its timer, see
//! `tocsin_logic::irq::arming`; the inbox lists the timers with a command.

use core::ptr::NonNull;

use tocsin_logic::irq::mailbox::{Call, CallList};

use crate::timer::node::{NEVER, Node};

/// A command for a timer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    /// Fire at `deadline`, in nanoseconds since the kernel started, and then every `period`
    /// nanoseconds; only once if `period` is 0.
    Arm { deadline: u64, period: u64 },
    /// Do not fire.
    Cancel,
    /// Do not fire, and accept no more commands. With `leave`, the owner frees the timer as soon as
    /// its function does not run.
    Close { leave: bool },
}

impl Command {
    /// The command as the two words of a slot: a deadline and a period, or [`NEVER`] and the kind.
    pub(super) fn to_words(self) -> [usize; 2] {
        // The kernel's words have 64 bits.
        match self {
            Self::Arm { deadline, period } => [deadline as usize, period as usize],
            Self::Cancel => [NEVER as usize, 0],
            Self::Close { leave } => [NEVER as usize, 1 + usize::from(leave)],
        }
    }

    pub(super) fn from_words([first, second]: [usize; 2]) -> Self {
        match (first as u64, second) {
            (NEVER, 0) => Self::Cancel,
            (NEVER, second) => Self::Close { leave: second == 2 },
            (deadline, period) => Self::Arm {
                deadline,
                period: period as u64,
            },
        }
    }
}

/// The timers of one CPU that have a command.
#[derive(Debug)]
pub(super) struct Inbox(CallList);

impl Inbox {
    pub(super) const fn new() -> Self {
        Self(CallList::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notifies the owner that a node has a command. No notification for the node may be pending,
    /// and the node must not be freed before the owner takes the command.
    pub(super) fn push(&self, pointer: NonNull<Node>) {
        // SAFETY: The owner frees the node only when it handles this notification.
        let call = unsafe { &pointer.as_ref().told };
        let is_free = call.take(0, pointer.as_ptr() as usize);
        debug_assert!(is_free, "the owner has been told, and has not looked");
        self.0.post(call);
    }

    /// Calls `take` with each node that has a command, the earliest first; `take` may free the
    /// nodes. Only the owner may call this.
    pub(super) fn answer(&self, mut take: impl FnMut(NonNull<Node>)) {
        if self.is_empty() {
            return;
        }
        // SAFETY: The sender does not free the call. All fields of a call are atomic.
        let at = |call: *const Call| unsafe { &*call };
        self.0.release(at, |node| {
            if let Some(pointer) = NonNull::new(node as *mut Node) {
                take(pointer);
            }
        });
    }
}
