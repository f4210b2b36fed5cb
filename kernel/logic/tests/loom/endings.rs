//! A level-triggered pin that changes hands where broadcasts of EOIs are suppressed: only a handler of the
//! line ends its interrupts, so it has to stay for the last one.

use crate::cpu::{self, Contexts, Cpu, Owner};
use crate::device::Device;
use crate::vector::Vector;
use crate::{beside, explore};
use loom::thread::spawn;
use std::sync::Arc;
use tocsin_logic::irq::affinity::{SourceKind, Target};
use tocsin_logic::topology::CpuId;

const VECTOR: Vector = Vector(0);
const TARGET: Target = Target {
    cpu: CpuId(0),
    vector: VECTOR,
};

/// More looks than an end needs when all that it waits for happens.
const PATIENCE: usize = 20;

struct Machine {
    cpu: Cpu,
    contexts: Contexts,
    device: Device,
}

impl cpu::Machine for Machine {
    fn cpu(&self, _: usize) -> &Cpu {
        &self.cpu
    }

    fn handle(&self, handler: usize) {
        self.contexts.read(handler);
        self.device.serve();
        // The directed EOI.
        let message = self.device.end(VECTOR);
        self.deliver(message, handler);
    }
}

impl Machine {
    /// A message travels.
    fn deliver(&self, message: Option<Target>, handler: usize) {
        if message.is_some() {
            self.cpu.request(VECTOR, handler);
            self.device.arrived();
        }
    }

    fn install(&self, handler: usize) {
        self.contexts.write(handler);
        assert!(self.cpu.install(VECTOR, handler), "not free");
    }
}

/// The end of a line, step by step.
struct Ending {
    done: usize,
    question: Option<usize>,
}

impl Ending {
    /// Goes on until it has to wait. Returns whether all is done.
    fn go_on(&mut self, machine: &Machine, waits_for_eoi: bool) -> bool {
        loop {
            let is_done = match self.done {
                0 => {
                    machine.device.mask();
                    true
                }
                1 if waits_for_eoi => machine.device.is_idle(),
                1 => machine.device.is_flushed(),
                2 => {
                    machine.cpu.table.begin_removal(VECTOR);
                    true
                }
                3 => {
                    let asked = *self.question.get_or_insert_with(|| machine.cpu.ask(VECTOR));
                    let found = machine.cpu.answer(asked);
                    if found.is_some() {
                        self.question = None;
                    }
                    found == Some(0)
                }
                4 => {
                    machine.contexts.write(0);
                    machine.cpu.table.end_removal(VECTOR);
                    true
                }
                _ => return true,
            };
            if !is_done {
                return false;
            }
            self.done += 1;
        }
    }
}

/// A CPU that can be interrupted: takes what waits. Returns whether something did.
fn take(owner: &mut Owner<Machine>) -> bool {
    let is_new = owner.dispatch(VECTOR);
    owner.point();
    is_new
}

/// Takes a line away while its device interrupts, and gives the pin to another.
fn explore_end(waits_for_eoi: bool) {
    explore(Some(3), move || {
        let machine = Arc::new(Machine {
            cpu: Cpu::new(),
            contexts: Contexts::new(),
            device: Device::new(SourceKind::LevelPin, TARGET),
        });
        machine.install(0);
        let device = beside(&machine, |machine| {
            machine.deliver(machine.device.event(), 0);
        });
        let owner = {
            let mut owner = Owner::new(&machine, 0);
            spawn(move || {
                take(&mut owner);
                take(&mut owner);
                owner
            })
        };
        let mut ending = Ending {
            done: 0,
            question: None,
        };
        ending.go_on(&machine, waits_for_eoi);
        let is_early = ending.done < 2;
        device.join().unwrap();
        let mut owner = owner.join().unwrap();
        let mut patience = 0..PATIENCE;
        while !ending.go_on(&machine, waits_for_eoi) {
            assert!(patience.next().is_some(), "for ever: step {}", ending.done);
            take(&mut owner);
        }
        assert!(!take(&mut owner), "after the removal");

        // The next owner. What was asserted while the pin was masked is the first that it gets.
        machine.install(1);
        machine.deliver(machine.device.unmask(), 1);
        while take(&mut owner) {}
        machine.deliver(machine.device.event(), 1);
        while take(&mut owner) {}
        assert_eq!(machine.device.seen(), 2, "the pin is dead");
        assert!(owner.ran.iter().all(Option::is_some), "unanswered");
        is_early
    });
}

#[test]
fn a_level_triggered_pin_changes_hands() {
    explore_end(SourceKind::LevelPin.waits_for_eoi());
}

#[test]
#[should_panic(expected = "the pin is dead")]
fn the_end_of_the_last_interrupt_is_needed() {
    explore_end(false);
}
