//! What other CPUs ask of a CPU's timers. The command is in the timer's own slot, see
//! `tocsin_logic::irq::arming`; the inbox says which timers have one.

use core::ptr::NonNull;

use tocsin_logic::irq::mailbox::{Call, Posted};

use super::node::{NEVER, Node};

/// What is asked of a timer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Command {
    /// To fire at this time, in nanoseconds since the kernel began, and then each period; 0: once.
    Arm { deadline: u64, period: u64 },
    /// Not to fire.
    Cancel,
    /// Not to fire, and to take no more commands. `leave`: whether the owner frees it, as soon as its function
    /// does not run.
    Close { leave: bool },
}

impl Command {
    /// As the two words of a slot: a deadline, or [`NEVER`] and what else it is.
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

/// The timers of one CPU that have a command for it.
#[derive(Debug)]
pub(super) struct Inbox(Posted);

impl Inbox {
    pub(super) const fn new() -> Self {
        Self(Posted::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells the owner that a node has a command. It must not have been told since it took the last one, and
    /// the node is not freed before it takes this one.
    pub(super) fn push(&self, pointer: NonNull<Node>) {
        // SAFETY: The owner frees it only in answer to this call.
        let call = unsafe { &pointer.as_ref().told };
        let is_free = call.take(0, pointer.as_ptr() as usize);
        debug_assert!(is_free, "the owner has been told, and has not looked");
        self.0.post(call);
    }

    /// Has `take` look at the nodes that have a command, the earliest first. It may free them. Only the owner.
    pub(super) fn answer(&self, mut take: impl FnMut(NonNull<Node>)) {
        if self.is_empty() {
            return;
        }
        // SAFETY: 1. Who posted it does not free it. 2. A call is all atomics.
        let at = |call: *const Call| unsafe { &*call };
        self.0.release(at, |node| {
            if let Some(pointer) = NonNull::new(node as *mut Node) {
                take(pointer);
            }
        });
    }
}
