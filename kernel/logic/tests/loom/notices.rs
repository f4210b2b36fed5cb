//! Functions called on all other CPUs.

use crate::board::{Board, Notice, Reader, serve};
use crate::calls::at;
use crate::cpu::Interrupt;
use crate::mailbox::Mailbox;
use crate::{beside, explore};
use loom::cell::UnsafeCell;
use std::sync::Arc;

/// CPUs that read a board with room for `N`. Function n is called by CPU n: it reads what its sender
/// has prepared and writes a result.
struct Machine<const CPUS: usize, const N: usize> {
    board: Board<N>,
    readers: [Reader; CPUS],
    mailboxes: [Mailbox<1>; CPUS],
    interrupts: [Interrupt; CPUS],
    prepared: [UnsafeCell<()>; CPUS],
    /// Of each function on each CPU.
    results: [[UnsafeCell<()>; CPUS]; CPUS],
}

/// The function of a call in a mailbox.
const LEFT: usize = 9;

impl<const CPUS: usize, const N: usize> Machine<CPUS, N> {
    fn new() -> Arc<Self> {
        fn cells<const CPUS: usize>() -> [UnsafeCell<()>; CPUS] {
            core::array::from_fn(|_| UnsafeCell::new(()))
        }
        Arc::new(Self {
            board: Board::new(),
            readers: core::array::from_fn(|_| Reader::new()),
            mailboxes: core::array::from_fn(|_| Mailbox::new()),
            interrupts: core::array::from_fn(|_| Interrupt::new()),
            prepared: cells(),
            results: core::array::from_fn(|_| cells()),
        })
    }

    /// As CPU `own`; nothing if the board is full.
    fn post(&self, own: usize) -> Option<Notice> {
        self.post_for(own, &self.readers)
    }

    fn post_for(&self, own: usize, readers: &[Reader]) -> Option<Notice> {
        self.prepared[own].with_mut(|_| ());
        let readers = readers.iter();
        let notice = self.board.post(&self.readers[own], &readers, own, 7).ok();
        for (cpu, interrupt) in self.interrupts.iter().enumerate() {
            if cpu != own {
                interrupt.send();
            }
        }
        notice
    }

    /// Takes the interrupt on CPU `cpu`, if there is one; what it ran.
    fn take(&self, cpu: usize) -> Vec<usize> {
        self.interrupts[cpu].take(|| self.serve(cpu))
    }

    fn serve(&self, cpu: usize) -> Vec<usize> {
        let mut ran = Vec::new();
        serve(
            &self.mailboxes[cpu],
            &self.board,
            &self.readers[cpu],
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
        if function != LEFT {
            self.prepared[function].with(|_| ());
            self.results[function][cpu].with_mut(|_| ());
        }
    }

    /// The sender looks at all once. If all have passed its notice, it uses what they wrote, ends the
    /// notice, and prepares anew.
    fn use_results(&self, own: usize, notice: Notice) -> bool {
        let have_passed = self.readers.iter().all(|it| it.has_passed(notice));
        if have_passed {
            for result in &self.results[own] {
                result.with_mut(|_| ());
            }
            self.prepared[own].with_mut(|_| ());
            self.board.end(notice);
        }
        have_passed
    }
}

#[test]
fn one_notice_for_several_cpus() {
    explore(Some(3), || {
        let machine = Machine::<3, 2>::new();
        let targets = [1, 2].map(|cpu| beside(&machine, move |machine| machine.take(cpu)));
        let notice = machine.post(0).unwrap();
        let is_done = machine.use_results(0, notice);
        let early = targets.map(|it| it.join().unwrap());
        for (cpu, mut ran) in (1..).zip(early) {
            ran.extend(machine.take(cpu));
            assert_eq!(ran, [0], "left behind or doubled");
        }
        assert!(machine.serve(0).is_empty(), "its own");
        assert!(machine.use_results(0, notice));
        is_done
    });
}

/// Both wait with interrupts off, or above the call's class, and so serve by hand.
#[test]
fn two_cpus_call_all_at_once() {
    explore(Some(3), || {
        let machine = Machine::<2, 2>::new();
        let run = |machine: &Machine<2, 2>, own: usize| {
            let notice = machine.post(own).unwrap();
            let ran = machine.serve(own);
            (ran, notice, machine.use_results(own, notice))
        };
        let other = beside(&machine, move |machine| run(machine, 1));
        let own = run(&machine, 0);
        let other = other.join().unwrap();
        let mut all_done = true;
        for (cpu, (mut ran, notice, is_done)) in [own, other].into_iter().enumerate() {
            ran.extend(machine.serve(cpu));
            assert_eq!(ran, [1 - cpu], "left behind or doubled");
            all_done &= is_done;
            assert!(machine.readers[cpu].has_passed(notice), "its own");
        }
        all_done
    });
}

/// Two senders where there is room for one: the second may be refused, and finds room when all have
/// passed the first; a third CPU reads both.
#[test]
fn a_place_is_filled_again() {
    explore(Some(2), || {
        let machine = Machine::<3, 1>::new();
        let [first, second] = [0, 1].map(|own| {
            beside(&machine, move |machine| {
                let mut notice = machine.post(own);
                let mut ran = machine.serve(own);
                if notice.is_none() {
                    notice = machine.post(own);
                    ran.extend(machine.serve(own));
                }
                (notice, ran)
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
            assert_eq!(ran.len(), usize::from(posted[1 - own]), "lost or doubled");
        }
        third.sort_unstable();
        let expected: Vec<_> = [0, 1].into_iter().filter(|&own| posted[own]).collect();
        assert_eq!(third, expected, "lost or doubled");
        posted == [true, true]
    });
}

/// What a sender does that does not ask whether all have passed: a notice is lost under another.
#[test]
#[should_panic(expected = "lost")]
fn a_place_must_be_passed_by_all() {
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
            machine.mailboxes[1].leave(LEFT, 7).unwrap();
            machine.post(0).unwrap();
        });
        // By hand: its interrupts are off.
        let mut ran = take(&machine);
        let is_all = ran.len() == 2;
        sender.join().unwrap();
        ran.extend(machine.take(1));
        assert_eq!(ran, [LEFT, 0], "out of order");
        is_all
    });
}

#[test]
fn a_call_comes_before_a_later_notice() {
    in_order(|machine| machine.serve(1));
}

/// A CPU that looks at its mailbox before it looks how far the board goes.
#[test]
#[should_panic(expected = "out of order")]
fn the_board_is_looked_at_first() {
    in_order(|machine| {
        let mut ran = Vec::new();
        machine.mailboxes[1].serve(at, |function, _| ran.push(function));
        let empty = Mailbox::<1>::new();
        serve(
            &empty,
            &machine.board,
            &machine.readers[1],
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
                    &machine.board,
                    &machine.readers[1],
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
        let notice = machine.post(0).unwrap();
        let is_done = machine.use_results(0, notice);
        let mut ran = target.join().unwrap();
        ran.extend(machine.take(1));
        assert_eq!(ran, [0], "left behind or doubled");
        is_done
    });
}
