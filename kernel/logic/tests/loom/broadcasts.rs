//! Functions called on all other CPUs.

use crate::broadcast::{Cursor, Entry, Ring, serve};
use crate::calls::at;
use crate::cpu::Interrupt;
use crate::mailbox::Mailbox;
use crate::{beside, explore};
use loom::cell::UnsafeCell;
use std::sync::Arc;

/// CPUs that read a ring with room for `N`. Function n is called by CPU n: it reads what its sender
/// has prepared and writes a result.
struct Machine<const CPUS: usize, const N: usize> {
    ring: Ring<N>,
    cursors: [Cursor; CPUS],
    mailboxes: [Mailbox<1>; CPUS],
    interrupts: [Interrupt; CPUS],
    prepared: [UnsafeCell<()>; CPUS],
    /// Of each function on each CPU.
    results: [[UnsafeCell<()>; CPUS]; CPUS],
}

/// The function of a call in a mailbox.
const ASYNC: usize = 9;

impl<const CPUS: usize, const N: usize> Machine<CPUS, N> {
    fn new() -> Arc<Self> {
        fn cells<const CPUS: usize>() -> [UnsafeCell<()>; CPUS] {
            core::array::from_fn(|_| UnsafeCell::new(()))
        }
        Arc::new(Self {
            ring: Ring::new(),
            cursors: core::array::from_fn(|_| Cursor::new()),
            mailboxes: core::array::from_fn(|_| Mailbox::new()),
            interrupts: core::array::from_fn(|_| Interrupt::new()),
            prepared: cells(),
            results: core::array::from_fn(|_| cells()),
        })
    }

    /// As CPU `own`; nothing if the ring is full.
    fn post(&self, own: usize) -> Option<Entry> {
        self.post_for(own, &self.cursors)
    }

    fn post_for(&self, own: usize, cursors: &[Cursor]) -> Option<Entry> {
        self.prepared[own].with_mut(|_| ());
        let cursors = cursors.iter();
        let entry = self.ring.post(&self.cursors[own], &cursors, own, 7).ok();
        for (cpu, interrupt) in self.interrupts.iter().enumerate() {
            if cpu != own {
                interrupt.send();
            }
        }
        entry
    }

    /// Takes the interrupt on CPU `cpu`, if there is one; what it ran.
    fn take(&self, cpu: usize) -> Vec<usize> {
        self.interrupts[cpu].take(|| self.serve(cpu))
    }

    fn serve(&self, cpu: usize) -> Vec<usize> {
        let mut ran = Vec::new();
        serve(
            &self.mailboxes[cpu],
            &self.ring,
            &self.cursors[cpu],
            at,
            |function, argument| {
                self.run(cpu, function, argument);
                ran.push(function);
            },
        );
        ran
    }

    fn run(&self, cpu: usize, function: usize, argument: usize) {
        assert_eq!(argument, 7);
        if function != ASYNC {
            self.prepared[function].with(|_| ());
            self.results[function][cpu].with_mut(|_| ());
        }
    }

    /// The sender checks all once. If all have passed its entry, it uses what they wrote, ends the
    /// entry, and prepares anew.
    fn use_results(&self, own: usize, entry: Entry) -> bool {
        let have_passed = self.cursors.iter().all(|it| it.has_passed(entry));
        if have_passed {
            for result in &self.results[own] {
                result.with_mut(|_| ());
            }
            self.prepared[own].with_mut(|_| ());
            self.ring.release(entry);
        }
        have_passed
    }
}

#[test]
fn one_entry_for_several_cpus() {
    explore(Some(3), || {
        let machine = Machine::<3, 2>::new();
        let targets = [1, 2].map(|cpu| beside(&machine, move |machine| machine.take(cpu)));
        let entry = machine.post(0).unwrap();
        let is_done = machine.use_results(0, entry);
        let early = targets.map(|it| it.join().unwrap());
        for (cpu, mut ran) in (1..).zip(early) {
            ran.extend(machine.take(cpu));
            assert_eq!(ran, [0], "lost or repeated");
        }
        assert!(machine.serve(0).is_empty(), "its own");
        assert!(machine.use_results(0, entry));
        is_done
    });
}

/// Both wait with interrupts off, or above the call's class, and so serve by hand.
#[test]
fn two_cpus_call_all_at_once() {
    explore(Some(3), || {
        let machine = Machine::<2, 2>::new();
        let run = |machine: &Machine<2, 2>, own: usize| {
            let entry = machine.post(own).unwrap();
            let ran = machine.serve(own);
            (ran, entry, machine.use_results(own, entry))
        };
        let other = beside(&machine, move |machine| run(machine, 1));
        let own = run(&machine, 0);
        let other = other.join().unwrap();
        let mut all_done = true;
        for (cpu, (mut ran, entry, is_done)) in [own, other].into_iter().enumerate() {
            ran.extend(machine.serve(cpu));
            assert_eq!(ran, [1 - cpu], "lost or repeated");
            all_done &= is_done;
            assert!(machine.cursors[cpu].has_passed(entry), "its own");
        }
        all_done
    });
}

/// Two senders where there is room for one: the second may be refused, and finds room when all have
/// passed the first; a third CPU reads both.
#[test]
fn a_slot_is_reused() {
    explore(Some(2), || {
        let machine = Machine::<3, 1>::new();
        let [first, second] = [0, 1].map(|own| {
            beside(&machine, move |machine| {
                let mut entry = machine.post(own);
                let mut ran = machine.serve(own);
                if entry.is_none() {
                    entry = machine.post(own);
                    ran.extend(machine.serve(own));
                }
                (entry, ran)
            })
        });
        let mut third = machine.take(2);
        third.extend(machine.take(2));
        let senders = [first.join().unwrap(), second.join().unwrap()];
        third.extend(machine.take(2));
        let posted = [0, 1].map(|own: usize| senders[own].0.is_some());
        assert!(posted[0] || posted[1], "each kept the other out");
        for (own, (_, mut ran)) in senders.into_iter().enumerate() {
            ran.extend(machine.serve(own));
            assert_eq!(ran.len(), usize::from(posted[1 - own]), "lost or repeated");
        }
        third.sort_unstable();
        let expected: Vec<_> = [0, 1].into_iter().filter(|&own| posted[own]).collect();
        assert_eq!(third, expected, "lost or repeated");
        posted == [true, true]
    });
}

/// A sender that does not check whether all have passed: an entry is lost under another.
#[test]
#[should_panic(expected = "lost")]
fn a_slot_must_be_passed_by_all() {
    explore(Some(2), || {
        let machine = Machine::<2, 1>::new();
        let target = beside(&machine, |machine| machine.take(1).len());
        machine.post_for(0, &[]).unwrap();
        machine.post_for(0, &[]).unwrap();
        let ran = target.join().unwrap() + machine.take(1).len();
        assert_eq!(ran, 2, "lost");
        true
    });
}

/// A call left in a mailbox, and then one to all.
fn in_order(take: fn(&Machine<2, 2>) -> Vec<usize>) {
    explore(Some(3), move || {
        let machine = Machine::<2, 2>::new();
        let sender = beside(&machine, |machine| {
            machine.mailboxes[1].post_async(ASYNC, 7).unwrap();
            machine.post(0).unwrap();
        });
        // By hand: its interrupts are off.
        let mut ran = take(&machine);
        let is_all = ran.len() == 2;
        sender.join().unwrap();
        ran.extend(machine.take(1));
        assert_eq!(ran, [ASYNC, 0], "out of order");
        is_all
    });
}

#[test]
fn a_call_runs_before_a_later_entry() {
    in_order(|machine| machine.serve(1));
}

/// A CPU that reads its mailbox before it reads the end of the ring.
#[test]
#[should_panic(expected = "out of order")]
fn the_end_of_the_ring_is_read_first() {
    in_order(|machine| {
        let mut ran = Vec::new();
        machine.mailboxes[1].serve(at, |function, _| ran.push(function));
        let empty = Mailbox::<1>::new();
        serve(
            &empty,
            &machine.ring,
            &machine.cursors[1],
            at,
            |function, _| ran.push(function),
        );
        ran
    });
}

/// A sender that does not wait uses what its targets still read.
#[test]
#[should_panic(expected = "Causality violation")]
fn the_wait_for_all_is_needed() {
    explore(Some(3), || {
        let machine = Machine::<2, 2>::new();
        let target = beside(&machine, |machine| machine.take(1));
        machine.post(0).unwrap();
        machine.prepared[0].with_mut(|_| ());
        target.join().unwrap();
        true
    });
}

/// A function that serves its own CPU, as a wait does: it does not run within itself, and its
/// sender does not see it as passed before it has returned.
#[test]
fn a_function_that_serves_runs_once() {
    explore(Some(3), || {
        let machine = Machine::<2, 2>::new();
        let target = beside(&machine, |machine| {
            machine.interrupts[1].take(|| {
                let mut ran = Vec::new();
                serve(
                    &machine.mailboxes[1],
                    &machine.ring,
                    &machine.cursors[1],
                    at,
                    |function, argument| {
                        assert!(machine.serve(1).is_empty(), "ran in itself");
                        machine.run(1, function, argument);
                        ran.push(function);
                    },
                );
                ran
            })
        });
        let entry = machine.post(0).unwrap();
        let is_done = machine.use_results(0, entry);
        let mut ran = target.join().unwrap();
        ran.extend(machine.take(1));
        assert_eq!(ran, [0], "lost or repeated");
        is_done
    });
}
