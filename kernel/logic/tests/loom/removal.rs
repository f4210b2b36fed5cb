//! Handlers installed and removed while their CPU takes interrupts.

use crate::cpu::{self, Contexts, Cpu, IN_IRR, IN_ISR, Owner};
use crate::vector::Vector;
use crate::{beside, explore};
use loom::thread::{JoinHandle, spawn};
use std::sync::Arc;

const VECTOR: Vector = Vector(0);

/// What must be clear before a removal ends.
const BOTH: usize = IN_IRR | IN_ISR;

/// One CPU.
struct Machine {
    cpu: Cpu,
    contexts: Contexts,
}

impl cpu::Machine for Machine {
    fn cpu(&self, _: usize) -> &Cpu {
        &self.cpu
    }

    fn handle(&self, handler: usize) {
        self.contexts.read(handler);
    }
}

impl Machine {
    fn empty() -> Arc<Self> {
        Arc::new(Self {
            cpu: Cpu::new(),
            contexts: Contexts::new(),
        })
    }

    /// With handler 0 installed.
    fn new() -> Arc<Self> {
        let machine = Self::empty();
        assert!(machine.cpu.install(VECTOR, 0));
        machine
    }

    /// With handler 0 installed and its interrupt sent, and the owner, which looks so many times for
    /// one.
    fn interrupted(times: usize) -> (Arc<Self>, JoinHandle<Owner<Machine>>) {
        let machine = Self::new();
        machine.cpu.request(VECTOR, 0);
        let owner = machine.own(times);
        (machine, owner)
    }

    /// The owner, which looks so many times for an interrupt.
    fn own(self: &Arc<Self>, times: usize) -> JoinHandle<Owner<Machine>> {
        let mut owner = Owner::new(self, 0);
        spawn(move || {
            for _ in 0..times {
                owner.dispatch(VECTOR);
                owner.point();
            }
            owner
        })
    }

    /// Removes handler `number` by the whole protocol but that the look cares only for `what`, and
    /// frees its context. Returns false if the removal has to wait for the owner, now and in
    /// what follows.
    fn remove(&self, number: usize, what: usize) -> bool {
        self.cpu.table.begin_removal(VECTOR);
        let question = self.cpu.ask(VECTOR);
        let found = self.cpu.answer(question);
        let is_over = found.is_some_and(|found| found & what == 0);
        if is_over {
            self.contexts.write(number);
            self.cpu.table.end_removal(VECTOR);
        }
        is_over
    }

    /// Prepares a context and installs handler `number` with it.
    fn install(&self, number: usize) {
        self.contexts.write(number);
        assert!(self.cpu.install(VECTOR, number), "not free");
        self.cpu.request(VECTOR, number);
    }
}

/// The handlers that ran, `None` being `unhandled`, when all that waits has been taken.
fn finish(owner: JoinHandle<Owner<Machine>>) -> Vec<Option<usize>> {
    let mut owner = owner.join().unwrap();
    while owner.dispatch(VECTOR) {}
    owner.ran
}

#[test]
fn a_removed_handler_does_not_run() {
    explore(Some(4), || {
        let (machine, owner) = Machine::interrupted(2);
        machine.cpu.request(VECTOR, 0);
        let is_removed = machine.remove(0, BOTH);
        finish(owner).contains(&Some(0)) && is_removed
    });
}

#[test]
fn installing_again_does_not_mix() {
    explore(Some(3), || {
        let (machine, owner) = Machine::interrupted(2);
        let is_removed = machine.remove(0, BOTH);
        if is_removed {
            machine.install(1);
        }
        let ran = finish(owner);
        assert!(!is_removed || ran.last() == Some(&Some(1)), "lost: {ran:?}");
        is_removed && ran == [Some(0), Some(1)]
    });
}

#[test]
fn a_second_removal_is_safe() {
    explore(Some(3), || {
        let machine = Machine::new();
        let owner = machine.own(3);
        let are_removed = machine.remove(0, BOTH) && {
            machine.install(1);
            machine.remove(1, BOTH)
        };
        finish(owner);
        are_removed
    });
}

#[test]
fn a_context_can_be_reused() {
    explore(Some(3), || {
        let (machine, owner) = Machine::interrupted(2);
        let is_removed = machine.remove(0, BOTH);
        if is_removed {
            machine.install(0);
        }
        let ran = finish(owner);
        is_removed && ran == [Some(0), Some(0)]
    });
}

#[test]
fn the_handler_sees_what_was_written_before_its_installation() {
    explore(Some(4), || {
        let machine = Machine::empty();
        machine.cpu.request(VECTOR, 1);
        let owner = machine.own(2);
        machine.install(1);
        finish(owner) == [None, Some(1)]
    });
}

#[test]
fn one_of_two_installers_succeeds() {
    explore(Some(3), || {
        let machine = Machine::empty();
        let owner = machine.own(1);
        let other = beside(&machine, |machine| machine.cpu.install(VECTOR, 0));
        let here = machine.cpu.install(VECTOR, 1);
        let there = other.join().unwrap();
        assert!(here != there, "installed by both or by none");
        machine.cpu.request(VECTOR, usize::from(here));
        assert_eq!(finish(owner), [Some(usize::from(here))]);
        here
    });
}

/// Another CPU wants the vector meanwhile: it gets it before or after, not in between, and then all
/// of the old handler lies behind.
#[test]
fn an_installer_waits_for_the_end_of_a_removal() {
    explore(Some(2), || {
        let (machine, owner) = Machine::interrupted(1);
        let other = beside(&machine, |machine| {
            let is_installed = machine.cpu.install(VECTOR, 1);
            if is_installed {
                machine.contexts.write(0);
                machine.cpu.request(VECTOR, 1);
            }
            is_installed
        });
        let is_removed = machine.remove(0, BOTH);
        let is_installed = other.join().unwrap();
        assert!(is_removed || !is_installed, "installed on top");
        let ran = finish(owner);
        is_installed && ran == [Some(0), Some(1)]
    });
}

#[test]
fn a_replaced_function_keeps_its_context() {
    explore(None, || {
        let machine = Machine::new();
        let reader = beside(&machine, |machine| machine.cpu.table.lookup(VECTOR).1);
        machine.cpu.table.replace(VECTOR, std::ptr::null_mut());
        reader.join().unwrap() == 0
    });
}

#[test]
#[should_panic(expected = "Causality violation")]
fn the_check_is_needed() {
    explore(Some(3), || {
        let (machine, owner) = Machine::interrupted(1);
        machine.cpu.table.begin_removal(VECTOR);
        machine.contexts.write(0);
        finish(owner);
        true
    });
}

/// The call of the look interrupts the handler.
#[test]
#[should_panic(expected = "Causality violation")]
fn the_check_of_the_isr_is_needed() {
    explore(Some(3), || {
        let (machine, owner) = Machine::interrupted(1);
        machine.remove(0, IN_IRR);
        finish(owner);
        true
    });
}

/// An interrupt waits for longer than the removal takes.
#[test]
#[should_panic(expected = "the interrupt of another handler")]
fn the_check_of_the_irr_is_needed() {
    explore(Some(3), || {
        let machine = Machine::new();
        let owner = machine.own(1);
        let device = beside(&machine, |machine| machine.cpu.request(VECTOR, 0));
        device.join().unwrap();
        if machine.remove(0, IN_ISR) {
            machine.contexts.write(1);
            assert!(machine.cpu.install(VECTOR, 1));
        }
        finish(owner);
        true
    });
}

/// Installed again before the end: the handler of the first lookup gets the second context.
#[test]
#[should_panic(expected = "two installations mixed")]
fn the_end_of_the_removal_is_needed() {
    explore(Some(3), || {
        let (machine, owner) = Machine::interrupted(1);
        machine.cpu.table.begin_removal(VECTOR);
        machine.cpu.table.end_removal(VECTOR);
        machine.install(1);
        finish(owner);
        true
    });
}
