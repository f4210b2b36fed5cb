//! Functions called on other CPUs.

use crate::cpu::Interrupt;
use crate::explore;
use crate::mailbox::{Mailbox, Ticket};
use loom::cell::UnsafeCell;
use loom::thread::spawn;
use std::sync::Arc;

const CALLS: usize = 3;

/// Serves a mailbox; how many calls it ran.
pub(crate) fn count_calls(mailbox: &Mailbox<4>) -> usize {
    mailbox.serve(|call| assert!(!mailbox.is_done(call.generation), "too early"))
}

/// CPUs with a mailbox each. Call n reads what its sender has prepared and writes a result.
struct Machine<const CPUS: usize> {
    mailboxes: [Mailbox<4>; CPUS],
    interrupts: [Interrupt; CPUS],
    prepared: [UnsafeCell<()>; CALLS],
    results: [[UnsafeCell<()>; CALLS]; CPUS],
}

impl<const CPUS: usize> Machine<CPUS> {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            mailboxes: core::array::from_fn(|_| Mailbox::new()),
            interrupts: core::array::from_fn(|_| Interrupt::new()),
            prepared: core::array::from_fn(|_| UnsafeCell::new(())),
            results: core::array::from_fn(|_| core::array::from_fn(|_| UnsafeCell::new(()))),
        })
    }

    fn prepare(&self, call: usize) {
        self.prepared[call].with_mut(|_| ());
    }

    fn post(&self, target: usize, call: usize) -> Ticket {
        let ticket = self.mailboxes[target].post(call, target).unwrap();
        self.interrupts[target].send();
        ticket
    }

    /// Takes the interrupt on CPU `cpu`, if there is one; how many calls were served.
    fn take(&self, cpu: usize) -> usize {
        if self.interrupts[cpu].point() {
            self.serve(cpu)
        } else {
            0
        }
    }

    fn serve(&self, cpu: usize) -> usize {
        self.mailboxes[cpu].serve(|call| {
            assert_eq!(call.argument, cpu);
            self.prepared[call.function].with(|_| ());
            self.results[cpu][call.function].with_mut(|_| ());
            assert!(!self.mailboxes[cpu].is_done(call.generation), "too early");
        })
    }

    /// The sender looks once. If the call is done, it uses the result, which nobody may be
    /// writing any more, and what was prepared for it.
    fn use_result(&self, target: usize, ticket: Ticket, call: usize) -> bool {
        let is_done = self.mailboxes[target].is_done(ticket);
        if is_done {
            self.results[target][call].with_mut(|_| ());
        }
        is_done
    }
}

#[test]
fn one_sender_calls_one_cpu() {
    explore(None, || {
        let machine = Machine::<1>::new();
        let target = {
            let machine = machine.clone();
            spawn(move || machine.take(0))
        };
        machine.prepare(0);
        let ticket = machine.post(0, 0);
        let is_done = machine.use_result(0, ticket, 0);
        let early = target.join().unwrap();
        assert_eq!(early + machine.take(0), 1, "left behind or doubled");
        assert!(machine.use_result(0, ticket, 0));
        is_done
    });
}

#[test]
fn several_senders_call_one_cpu() {
    explore(Some(2), || {
        let machine = Machine::<1>::new();
        let senders = [0, 1].map(|call| {
            let machine = machine.clone();
            spawn(move || {
                machine.prepare(call);
                let ticket = machine.post(0, call);
                (ticket, machine.use_result(0, ticket, call))
            })
        });
        let early = machine.take(0) + machine.take(0);
        let [(first, one), (second, two)] = senders.map(|it| it.join().unwrap());
        assert_eq!(early + machine.take(0), 2, "left behind");
        assert!(machine.use_result(0, first, 0) && machine.use_result(0, second, 1));
        one || two
    });
}

/// The sender keeps no tickets: it waits for all that was posted to each target.
#[test]
fn one_call_for_several_cpus() {
    explore(Some(2), || {
        let machine = Machine::<2>::new();
        let targets = [0, 1].map(|cpu| {
            let machine = machine.clone();
            spawn(move || machine.take(cpu))
        });
        machine.prepare(0);
        for (cpu, mailbox) in machine.mailboxes.iter().enumerate() {
            mailbox.post(0, cpu).unwrap();
        }
        // One write to the ICR.
        for interrupt in &machine.interrupts {
            interrupt.send();
        }
        let done = [0, 1].map(|cpu| machine.use_result(cpu, machine.mailboxes[cpu].posted(), 0));
        let early = targets.map(|it| it.join().unwrap());
        for (cpu, early) in early.into_iter().enumerate() {
            assert_eq!(early + machine.take(cpu), 1, "left behind or doubled");
        }
        done == [true, true]
    });
}

/// Both wait with interrupts off, or above the call's class, and so serve by hand.
#[test]
fn two_cpus_call_each_other() {
    explore(Some(3), || {
        let machine = Machine::<2>::new();
        let run = |machine: &Machine<2>, own: usize| {
            let target = 1 - own;
            machine.prepare(own);
            let ticket = machine.post(target, own);
            let served = machine.serve(own);
            (served, machine.use_result(target, ticket, own))
        };
        let other = {
            let machine = machine.clone();
            spawn(move || run(&machine, 1))
        };
        let (own_served, own_done) = run(&machine, 0);
        let (other_served, other_done) = other.join().unwrap();
        assert_eq!(own_served + machine.serve(0), 1, "left behind or doubled");
        assert_eq!(other_served + machine.serve(1), 1, "left behind or doubled");
        own_done && other_done
    });
}

/// A sender that waits is interrupted by a handler that calls the same CPU, while a third CPU calls
/// it too.
#[test]
fn a_call_from_a_handler_during_a_call() {
    explore(Some(2), || {
        let machine = Machine::<1>::new();
        let sender = {
            let machine = machine.clone();
            spawn(move || {
                machine.prepare(0);
                let outer = machine.post(0, 0);
                machine.prepare(1);
                let inner = machine.post(0, 1);
                let is_inner_done = machine.use_result(0, inner, 1);
                // In order: the earlier one is done too.
                assert!(!is_inner_done || machine.use_result(0, outer, 0));
                is_inner_done
            })
        };
        let other = {
            let machine = machine.clone();
            spawn(move || {
                machine.prepare(2);
                machine.post(0, 2);
            })
        };
        let early = machine.take(0);
        let is_inner_done = sender.join().unwrap();
        other.join().unwrap();
        assert_eq!(early + machine.take(0), 3, "left behind or doubled");
        is_inner_done
    });
}

/// A sender that does not look at the target's word uses a result that is being written.
#[test]
#[should_panic(expected = "Causality violation")]
fn the_wait_is_needed() {
    explore(Some(3), || {
        let machine = Machine::<1>::new();
        let target = {
            let machine = machine.clone();
            spawn(move || machine.take(0))
        };
        machine.prepare(0);
        machine.post(0, 0);
        machine.results[0][0].with_mut(|_| ());
        target.join().unwrap();
        true
    });
}
