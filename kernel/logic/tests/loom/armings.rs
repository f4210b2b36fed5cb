//! A timer that one CPU starts and cancels while it fires on another.

use crate::arming::{Arming, Claim, Command, Number};
use crate::calls::at;
use crate::cpu::Interrupt;
use crate::mailbox::{Call, CallList};
use crate::{beside, explore};
use loom::cell::UnsafeCell;
use std::sync::Arc;

/// A timer and the inbox of its owner.
struct Timer {
    arming: Arming,
    told: Call,
    inbox: CallList,
    interrupt: Interrupt,
    /// Data that the handle prepares before it starts the timer, and that the function reads.
    prepared: UnsafeCell<usize>,
    /// Represents the memory of the timer: posting the notification reads it, and freeing it writes
    /// it.
    node: UnsafeCell<()>,
}

/// The deadline of the command that closes the timer: the owner frees it.
const CLOSE: usize = usize::MAX;

/// The state of the owner alone: the queue, which has only this timer, and the calls of the
/// function.
struct Owner {
    timer: Arc<Timer>,
    number: Number,
    deadline: Option<usize>,
    called: Vec<usize>,
    /// Number of notifications that it has handled, and the commands that it has taken.
    answered: usize,
    taken: Vec<Number>,
    is_freed: bool,
}

impl Timer {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            arming: Arming::new(),
            told: Call::free(),
            inbox: CallList::new(),
            interrupt: Interrupt::new(),
            prepared: UnsafeCell::new(0),
            node: UnsafeCell::new(()),
        })
    }

    fn start(&self, number: Number, deadline: usize) {
        self.arming.replace(number, true);
        self.command(number, deadline);
    }

    fn command(&self, number: Number, deadline: usize) {
        // Both words are the same, so that a torn command is seen.
        let words = [deadline; 2];
        if self.arming.publish(Command { number, words }) {
            self.node.with(|_| ());
            assert!(self.told.take(0, 0), "told twice");
            self.inbox.post(&self.told);
            self.interrupt.send();
        }
    }
}

impl Owner {
    fn new(timer: &Arc<Timer>) -> Self {
        Self {
            timer: timer.clone(),
            number: Number::FIRST,
            deadline: None,
            called: Vec::new(),
            answered: 0,
            taken: Vec::new(),
            is_freed: false,
        }
    }

    /// Takes the interrupt for commands, if there is one.
    fn point(&mut self) {
        let timer = self.timer.clone();
        if timer.interrupt.point() {
            timer.inbox.release(at, |_| {
                self.answered += 1;
                if let Some(command) = timer.arming.take() {
                    let [first, second] = command.words;
                    assert_eq!(first, second, "torn");
                    assert!(!self.taken.contains(&command.number), "taken twice");
                    self.taken.push(command.number);
                    self.number = command.number;
                    self.deadline = Some(first);
                    if first == CLOSE {
                        assert!(!self.is_freed, "freed twice");
                        self.deadline = None;
                        self.is_freed = true;
                        timer.node.with_mut(|_| ());
                    }
                }
            });
        }
    }

    /// Lets the deadline pass, if there is one.
    fn fire(&mut self) {
        if let Some(deadline) = self.deadline.take()
            && self.timer.arming.claim(Claim::new(self.number, true))
        {
            self.timer.prepared.with(|_| ());
            self.called.push(deadline);
        }
    }
}

/// Numbers of the handle's operations.
fn numbers<const N: usize>() -> [Number; N] {
    let mut last = Number::FIRST;
    core::array::from_fn(|_| {
        last = last.next();
        last
    })
}

/// A cancel at any moment: either the function is called, or `replace` returns that the timer was
/// started.
#[test]
fn a_cancel_or_a_call_but_not_both() {
    explore(Some(3), || {
        let timer = Timer::new();
        let owner = beside_owner(&timer, |owner| {
            owner.point();
            owner.fire();
        });
        let [first, second] = numbers();
        timer.prepared.with_mut(|_| ());
        timer.start(first, 1);
        let was_started = timer.arming.replace(second, false);
        let mut owner = owner.join().unwrap();
        // What is left in the queue does nothing.
        let called = owner.called.len();
        owner.point();
        owner.fire();
        assert_eq!(owner.called.len(), called, "called after the cancel");
        assert_eq!(was_started, called == 0, "called and cancelled, or neither");
        called == 1
    });
}

/// Start, cancel and start while the owner takes commands and fires: the last start is not lost,
/// and the function is called at most once for each.
#[test]
fn the_last_start_is_not_lost() {
    explore(Some(3), || {
        let timer = Timer::new();
        let owner = beside_owner(&timer, |owner| {
            for _ in 0..2 {
                owner.point();
                owner.fire();
            }
        });
        let [first, second, third] = numbers();
        timer.start(first, 1);
        let was_started = timer.arming.replace(second, false);
        timer.start(third, 3);
        let mut owner = owner.join().unwrap();
        owner.point();
        owner.fire();
        assert_eq!(owner.called.contains(&1), !was_started);
        assert_eq!(
            owner.called.iter().filter(|&&it| it == 3).count(),
            1,
            "lost"
        );
        !was_started
    });
}

/// Two commands in a row: the second overwrites the first, while the owner may be taking that.
#[test]
fn a_command_overwrites_one_that_is_being_taken() {
    explore(Some(3), || {
        let timer = Timer::new();
        let owner = beside_owner(&timer, Owner::point);
        let [first, second] = numbers();
        timer.start(first, 1);
        timer.start(second, 2);
        let mut owner = owner.join().unwrap();
        let is_first = owner.deadline == Some(1);
        owner.point();
        assert_eq!(owner.deadline, Some(2), "lost");
        is_first
    });
}

/// A close while the owner takes an earlier command: the owner frees the timer once, and the handle
/// does not access it after that.
#[test]
fn a_closed_timer_is_freed_once() {
    explore(Some(3), || {
        let timer = Timer::new();
        let owner = beside_owner(&timer, Owner::point);
        let [first, second] = numbers();
        timer.start(first, 1);
        timer.arming.replace(second, false);
        timer.command(second, CLOSE);
        let mut owner = owner.join().unwrap();
        // The first notification has delivered the close.
        let is_early = owner.is_freed;
        owner.point();
        assert!(owner.is_freed, "lost");
        is_early
    });
}

/// A notification while the handle writes the next command: the handle notifies the owner again.
#[test]
fn a_command_is_taken_once_for_each_notification() {
    explore(Some(2), || {
        let timer = Timer::new();
        let owner = beside_owner(&timer, |owner| {
            owner.point();
            owner.point();
        });
        let [first, second, third] = numbers();
        for (number, deadline) in [(first, 1), (second, 2), (third, 3)] {
            timer.start(number, deadline);
        }
        let mut owner = owner.join().unwrap();
        owner.point();
        assert_eq!(owner.deadline, Some(3), "lost");
        assert!(!timer.arming.is_told(), "taken, and still notified");
        // One notification came too early, and had no command.
        owner.answered > owner.taken.len()
    });
}

/// The owner itself closes the timer while a notification from another CPU is pending: the close
/// overwrites that command without another notification, and the timer is freed when the
/// notification is handled. Without a pending notification it is freed at once.
#[test]
fn a_timer_that_is_closed_where_it_runs_is_freed_after_its_notification() {
    explore(Some(3), || {
        let timer = Timer::new();
        let [first, second] = numbers();
        let control = beside(&timer, move |timer| timer.start(first, 1));
        let mut owner = Owner::new(&timer);
        owner.point();
        // The timer is handed to its CPU.
        control.join().unwrap();
        timer.arming.replace(second, false);
        let is_told = timer.arming.is_told();
        if is_told {
            let words = [CLOSE; 2];
            let number = second;
            assert!(
                !timer.arming.publish(Command { number, words }),
                "told twice"
            );
        } else {
            timer.node.with_mut(|_| ());
        }
        owner.point();
        assert_eq!(owner.is_freed, is_told, "not freed once");
        assert!(timer.inbox.is_empty(), "freed with a notification");
        is_told
    });
}

/// The function starts the timer again while the handle cancels it: the cancel takes precedence.
#[test]
fn a_cancel_counts_more_than_the_function() {
    explore(Some(3), || {
        let timer = Timer::new();
        let [first, second] = numbers();
        timer.start(first, 1);
        let owner = beside_owner(&timer, |owner| {
            owner.point();
            owner.fire();
            if owner.called == [1] && owner.timer.arming.renew(owner.number, true) {
                owner.deadline = Some(2);
            }
        });
        timer.arming.replace(second, false);
        let mut owner = owner.join().unwrap();
        let is_renewed = owner.deadline == Some(2);
        owner.fire();
        assert!(!owner.called.contains(&2), "called after the cancel");
        is_renewed
    });
}

/// Without a claim, the owner calls the function after a cancel.
#[test]
#[should_panic(expected = "called after the cancel")]
fn the_claim_is_needed() {
    explore(Some(3), || {
        let timer = Timer::new();
        let [first, second] = numbers();
        timer.start(first, 1);
        let owner = beside_owner(&timer, Owner::point);
        timer.arming.replace(second, false);
        let mut owner = owner.join().unwrap();
        owner.called.extend(owner.deadline.take());
        assert!(owner.called.is_empty(), "called after the cancel");
        true
    });
}

/// Without the required notification, a start is lost.
#[test]
#[should_panic(expected = "lost")]
fn telling_the_owner_is_needed() {
    explore(Some(3), || {
        let timer = Timer::new();
        let [first, second] = numbers();
        timer.start(first, 1);
        let owner = beside_owner(&timer, Owner::point);
        timer.arming.replace(second, true);
        let _ = timer.arming.publish(Command {
            number: second,
            words: [2; 2],
        });
        let mut owner = owner.join().unwrap();
        owner.point();
        assert_eq!(owner.deadline, Some(2), "lost");
        true
    });
}

/// The owner, on a CPU of its own.
fn beside_owner(
    timer: &Arc<Timer>,
    part: impl FnOnce(&mut Owner) + 'static,
) -> loom::thread::JoinHandle<Owner> {
    let mut owner = Owner::new(timer);
    beside(timer, move |_| {
        part(&mut owner);
        owner
    })
}
