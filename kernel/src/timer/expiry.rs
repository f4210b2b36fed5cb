//! What the function of a timer gets.

use core::marker::PhantomData;
use core::ptr::NonNull;

use tocsin_logic::irq::arming::Number;

use crate::time;
use crate::timer::inbox::Command;
use crate::timer::node::{LATEST, Node};
use crate::timer::queue;

/// What a timer's function is told, and its way to start the timer again.
///
/// A command from outside that comes after the call has begun takes precedence over commands given
/// here, in either order. Once the timer has been dropped, commands given here do nothing.
#[derive(Debug)]
pub struct Expiry<'a> {
    pointer: NonNull<Node>,
    /// The command from outside for which the function is called.
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

    /// When the timer was to fire, in nanoseconds since the kernel began.
    ///
    /// Context: any.
    #[must_use]
    pub fn deadline(&self) -> u64 {
        self.deadline
    }

    /// How many periods passed without a call, which this call stands for too: after that deadline, or, if the
    /// function is deferred, before it.
    ///
    /// Context: any.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Lets the timer fire once, `nanoseconds` from now. A function that does so again and again leaves
    /// the CPU no time for anything else if they are fewer than the interrupt takes.
    ///
    /// Context: thread or handler up to class 14.
    pub fn after(&self, nanoseconds: u64) {
        self.at(time::nanoseconds().saturating_add(nanoseconds));
    }

    /// Lets the timer fire once, at a time in nanoseconds since the kernel began.
    ///
    /// Context: thread or handler up to class 14.
    pub fn at(&self, deadline: u64) {
        let deadline = deadline.min(LATEST);
        self.command(Command::Arm {
            deadline,
            period: 0,
        });
    }

    /// Ends a periodic timer, or one that this function has started again.
    ///
    /// Context: thread or handler up to class 14.
    pub fn stop(&self) {
        self.command(Command::Cancel);
    }

    fn command(&self, command: Command) {
        queue::local(|queue| queue.renew(self.pointer, self.number, command));
    }
}
