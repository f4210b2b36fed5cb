//! The drop of a line with a level-triggered pin, and the next line of that pin, where EOI
//! broadcasts are suppressed: only the line's handler sends the EOI, so it must stay bound until
//! the last interrupt has ended.

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

/// More steps than a drop needs if none of its waits is endless.
const MAX_STEPS: usize = 20;

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
    /// Delivers a message.
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

/// The steps of a drop.
struct LineDrop {
    done: usize,
    check: Option<usize>,
}

impl LineDrop {
    /// Performs steps until one must wait. Returns whether all are done.
    fn advance(&mut self, machine: &Machine, waits_for_eoi: bool) -> bool {
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
                    let requested_check = *self
                        .check
                        .get_or_insert_with(|| machine.cpu.request_check(VECTOR));
                    let found = machine.cpu.check_result(requested_check);
                    if found.is_some() {
                        self.check = None;
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

/// Takes the pending interrupt of a CPU that can be interrupted. Returns whether there was one.
fn take_interrupt(owner: &mut Owner<Machine>) -> bool {
    let is_new = owner.dispatch(VECTOR);
    owner.point();
    is_new
}

/// Drops a line while its device interrupts, and gives the pin to another line.
fn explore_drop(waits_for_eoi: bool) {
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
                take_interrupt(&mut owner);
                take_interrupt(&mut owner);
                owner
            })
        };
        let mut line_drop = LineDrop {
            done: 0,
            check: None,
        };
        line_drop.advance(&machine, waits_for_eoi);
        let is_early = line_drop.done < 2;
        device.join().unwrap();
        let mut owner = owner.join().unwrap();
        let mut steps = 0..MAX_STEPS;
        while !line_drop.advance(&machine, waits_for_eoi) {
            assert!(steps.next().is_some(), "endless: step {}", line_drop.done);
            take_interrupt(&mut owner);
        }
        assert!(!take_interrupt(&mut owner), "after the removal");

        // The next line. Its first interrupt is the one that was asserted while the pin was masked.
        machine.install(1);
        machine.deliver(machine.device.unmask(), 1);
        while take_interrupt(&mut owner) {}
        machine.deliver(machine.device.event(), 1);
        while take_interrupt(&mut owner) {}
        assert_eq!(machine.device.seen(), 2, "the pin is dead");
        assert!(owner.ran.iter().all(Option::is_some), "unhandled");
        is_early
    });
}

#[test]
fn a_level_triggered_pin_gets_a_new_line() {
    explore_drop(SourceKind::LevelPin.waits_for_eoi());
}

#[test]
#[should_panic(expected = "the pin is dead")]
fn the_eoi_of_the_last_interrupt_is_needed() {
    explore_drop(false);
}
