//! Functions called on another CPU.

use crate::cpu::Interrupt;
use crate::mailbox::{Call, Mailbox};
use crate::{beside, explore};
use loom::cell::UnsafeCell;
use std::sync::Arc;

const CALLS: usize = 3;

/// The call at an address that was posted.
pub(crate) fn at<'a>(call: *const Call) -> &'a Call {
    // SAFETY: 1. The machines of the models keep all calls until all threads have ended.
    unsafe { &*call }
}

/// Serves a mailbox; how many calls it ran.
pub(crate) fn count_calls<const N: usize>(mailbox: &Mailbox<N>) -> usize {
    let mut count = 0;
    mailbox.serve(at, |_, _| count += 1);
    count
}

/// CPUs with a mailbox each. Call n reads what its sender has prepared and writes a result.
struct Machine<const CPUS: usize> {
    mailboxes: [Mailbox<1>; CPUS],
    interrupts: [Interrupt; CPUS],
    calls: [Call; CALLS],
    /// Stand for the memory of the calls: whoever looks at one reads it, and its owner writes it
    /// when it is done.
    blocks: [UnsafeCell<()>; CALLS],
    prepared: [UnsafeCell<()>; CALLS],
    results: [UnsafeCell<()>; CALLS],
}

impl<const CPUS: usize> Machine<CPUS> {
    fn new() -> Arc<Self> {
        fn cells() -> [UnsafeCell<()>; CALLS] {
            core::array::from_fn(|_| UnsafeCell::new(()))
        }
        Arc::new(Self {
            mailboxes: core::array::from_fn(|_| Mailbox::new()),
            interrupts: core::array::from_fn(|_| Interrupt::new()),
            calls: core::array::from_fn(|call| Call::new(call, 7)),
            blocks: cells(),
            prepared: cells(),
            results: cells(),
        })
    }

    fn post(&self, target: usize, call: usize) {
        self.blocks[call].with_mut(|_| ());
        self.prepared[call].with_mut(|_| ());
        self.mailboxes[target].post(&self.calls[call]);
        self.interrupts[target].send();
    }

    /// Leaves a call. Returns whether there was room.
    fn post_async(&self, target: usize, call: usize) -> bool {
        self.prepared[call].with_mut(|_| ());
        let is_posted = self.mailboxes[target].post_async(call, 7).is_ok();
        self.interrupts[target].send();
        is_posted
    }

    /// Takes the interrupt on CPU `cpu`, if there is one; the calls that were served.
    fn take(&self, cpu: usize) -> Vec<usize> {
        self.interrupts[cpu].take(|| self.serve(cpu))
    }

    fn serve(&self, cpu: usize) -> Vec<usize> {
        let mut served = Vec::new();
        let at = |call: *const Call| {
            let mut all = self.calls.iter();
            // Otherwise it is one of the mailbox's own.
            if let Some(number) = all.position(|known| std::ptr::eq(known, call)) {
                self.blocks[number].with(|_| ());
            }
            at(call)
        };
        self.mailboxes[cpu].serve(at, |call, argument| {
            assert_eq!(argument, 7);
            self.prepared[call].with(|_| ());
            self.results[call].with_mut(|_| ());
            assert!(!self.calls[call].is_done(), "too early");
            served.push(call);
        });
        served
    }

    /// The sender looks once. If the call is done, it uses the result and the call's memory, which
    /// no CPU may be using any more.
    fn use_result(&self, call: usize) -> bool {
        let is_done = self.calls[call].is_done();
        if is_done {
            self.results[call].with_mut(|_| ());
            self.blocks[call].with_mut(|_| ());
        }
        is_done
    }
}

#[test]
fn one_sender_calls_one_cpu() {
    explore(None, || {
        let machine = Machine::<1>::new();
        let target = beside(&machine, |machine| machine.take(0));
        machine.post(0, 0);
        let is_done = machine.use_result(0);
        let mut served = target.join().unwrap();
        served.extend(machine.take(0));
        assert_eq!(served, [0], "lost or repeated");
        assert!(machine.use_result(0));
        is_done
    });
}

#[test]
fn several_senders_call_one_cpu() {
    explore(Some(2), || {
        let machine = Machine::<1>::new();
        let senders = [0, 1].map(|call| {
            beside(&machine, move |machine| {
                machine.post(0, call);
                machine.use_result(call)
            })
        });
        let mut served = machine.take(0);
        served.extend(machine.take(0));
        let done = senders.map(|it| it.join().unwrap());
        served.extend(machine.take(0));
        served.sort_unstable();
        assert_eq!(served, [0, 1], "lost or repeated");
        assert!(machine.use_result(0) && machine.use_result(1));
        done.contains(&true)
    });
}

/// Both wait with interrupts off, or above the call's class, and so serve by hand.
#[test]
fn two_cpus_call_each_other() {
    explore(Some(3), || {
        let machine = Machine::<2>::new();
        let run = |machine: &Machine<2>, own: usize| {
            machine.post(1 - own, own);
            let served = machine.serve(own).len();
            (served, machine.use_result(own))
        };
        let other = beside(&machine, move |machine| run(machine, 1));
        let (own_served, own_done) = run(&machine, 0);
        let (other_served, other_done) = other.join().unwrap();
        let late = [0, 1].map(|cpu| machine.serve(cpu).len());
        assert_eq!(own_served + late[0], 1, "lost or repeated");
        assert_eq!(other_served + late[1], 1, "lost or repeated");
        own_done && other_done
    });
}

/// A sender that waits is interrupted by a handler that calls the same CPU, while a third CPU calls
/// it too.
#[test]
fn a_call_from_a_handler_during_a_call() {
    explore(Some(2), || {
        let machine = Machine::<1>::new();
        let sender = beside(&machine, |machine| {
            machine.post(0, 0);
            machine.post(0, 1);
            let is_inner_done = machine.use_result(1);
            // In order: the earlier one is done too.
            assert!(!is_inner_done || machine.use_result(0));
            is_inner_done
        });
        let other = beside(&machine, |machine| machine.post(0, 2));
        let mut served = machine.take(0);
        let is_inner_done = sender.join().unwrap();
        other.join().unwrap();
        served.extend(machine.take(0));
        let place = |call| served.iter().position(|&it| it == call);
        assert!(place(0) < place(1), "out of order: {served:?}");
        assert!(served.len() == 3 && place(2).is_some(), "lost");
        is_inner_done
    });
}

/// Asynchronous calls, with one block.
#[test]
fn two_senders_post_asynchronous_calls() {
    explore(Some(3), || {
        let machine = Machine::<1>::new();
        let sender = beside(&machine, |machine| machine.post_async(0, 1));
        let other = beside(&machine, |machine| machine.post_async(0, 2));
        let mut served = machine.take(0);
        let posted = [sender.join().unwrap(), other.join().unwrap()];
        served.extend(machine.take(0));
        assert_eq!(served.contains(&1), posted[0], "lost or not rejected");
        assert_eq!(served.contains(&2), posted[1], "lost or not rejected");
        // The room is there again, and with it what the last call was.
        assert!(machine.post_async(0, 0));
        assert_eq!(machine.take(0), [0]);
        posted == [true, true]
    });
}

/// A sender that does not look at the call uses a result that is being written.
#[test]
#[should_panic(expected = "Causality violation")]
fn the_wait_is_needed() {
    explore(Some(3), || {
        let machine = Machine::<1>::new();
        let target = beside(&machine, |machine| machine.take(0));
        machine.post(0, 0);
        machine.results[0].with_mut(|_| ());
        target.join().unwrap();
        true
    });
}

/// A call whose memory its sender uses before it is done.
#[test]
#[should_panic(expected = "Causality violation")]
fn the_memory_of_a_call_is_needed() {
    explore(Some(3), || {
        let machine = Machine::<1>::new();
        let target = beside(&machine, |machine| machine.take(0));
        machine.post(0, 0);
        machine.blocks[0].with_mut(|_| ());
        target.join().unwrap();
        true
    });
}
