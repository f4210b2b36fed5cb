//! The argument of a timer's function.

use core::marker::PhantomData;
use core::ptr::NonNull;

use tocsin_logic::irq::arming::Number;

use crate::time;
use crate::timer::inbox::Command;
use crate::timer::node::{LATEST, Node};
use crate::timer::queue;

/// The expiry of a timer, with which its function can start the timer again.
///
/// A command from the timer's handle after the call has begun takes precedence over commands given
/// here, in either order. Once the timer has been dropped, commands given here do nothing.
#[derive(Debug)]
pub struct Expiry<'a> {
    pointer: NonNull<Node>,
    /// The command of the handle for which the function is called.
    number: Number,
    deadline: u64,
    missed: u64,
    node: PhantomData<&'a Node>,
}

impl Expiry<'_> {
    pub(super) fn new(pointer: NonNull<Node>, number: Number, deadline: u64, missed: u64) -> Self {
        Self {
            pointer,
            number,
            deadline,
            missed,
            node: PhantomData,
        }
    }

    /// The deadline of the expiry, in nanoseconds since the kernel started.
    ///
    /// Context: any.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// The number of missed periods that this call also covers: after the deadline or, if the
    /// function is deferred, before it.
    ///
    /// Context: any.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Starts the timer: it fires once, `nanoseconds` from now. A function that does this
    /// repeatedly leaves the CPU no time for anything else if `nanoseconds` is less than the
    /// duration of the interrupt.
    ///
    /// Context: thread or handler up to class 14.
    pub fn after(&self, nanoseconds: u64) {
        self.at(time::nanoseconds().saturating_add(nanoseconds));
    }

    /// Starts the timer: it fires once, at a time in nanoseconds since the kernel started.
    ///
    /// Context: thread or handler up to class 14.
    pub fn at(&self, deadline: u64) {
        let deadline = deadline.min(LATEST);
        self.command(Command::Arm {
            deadline,
            period: 0,
        });
    }

    /// Stops a periodic timer, or one that this function has started again.
    ///
    /// Context: thread or handler up to class 14.
    pub fn stop(&self) {
        self.command(Command::Cancel);
    }

    fn command(&self, command: Command) {
        queue::local(|queue| queue.rearm(self.pointer, self.number, command));
    }
}
