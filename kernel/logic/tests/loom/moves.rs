//! A line that moves to another CPU while its device interrupts. That CPU performs the real steps
//! in a thread, which the line's interrupts interrupt.

use crate::cpu::{self, Contexts, Cpu, Owner};
use crate::device::Device;
use crate::vector::Vector;
use crate::{beside, explore};
use loom::thread::spawn;
use std::sync::Arc;
use tocsin_logic::irq::affinity::{Action, Move, SourceKind, Target};
use tocsin_logic::topology::CpuId;

const OLD: Target = target(0, 0);
const NEW: Target = target(1, 1);
/// The intermediate target: of the route, only the vector has changed.
const INTERMEDIATE: Target = target(0, 1);
const TARGETS: [Target; 3] = [OLD, NEW, INTERMEDIATE];

/// More steps than a move needs if none of its waits is endless.
const MAX_STEPS: usize = 40;

const fn target(cpu: u32, vector: u8) -> Target {
    Target {
        cpu: CpuId(cpu),
        vector: Vector(vector),
    }
}

/// The handler of a target. Each has its own context, which shows which handlers run.
fn handler(target: Target) -> usize {
    TARGETS
        .iter()
        .position(|it| *it == target)
        .expect("a mixture of routes")
}

struct Machine {
    cpus: [Cpu; 2],
    contexts: Contexts,
    device: Device,
}

impl cpu::Machine for Machine {
    fn cpu(&self, number: usize) -> &Cpu {
        &self.cpus[number]
    }

    fn handle(&self, handler: usize) {
        self.contexts.read(handler);
        self.device.serve();
        self.contexts.read(handler);
    }

    fn end(&self, vector: Vector) {
        self.deliver(self.device.end(vector));
    }
}

impl Machine {
    fn at(&self, target: Target) -> &Cpu {
        &self.cpus[target.cpu.0 as usize]
    }

    /// Delivers a message.
    fn deliver(&self, message: Option<Target>) {
        if let Some(target) = message {
            self.at(target).request(target.vector, handler(target));
            self.device.arrived();
        }
    }

    /// Performs a step; `check` is the pending check of a CPU. Returns false if it must wait.
    fn step(&self, action: Action, check: &mut Option<usize>) -> bool {
        match action {
            Action::Install(target) => {
                self.contexts.write(handler(target));
                assert!(
                    self.at(target).install(target.vector, handler(target)),
                    "not free"
                );
            }
            Action::Mask => self.device.mask(),
            Action::AwaitIdle => return self.device.is_idle(),
            Action::SetRoute(target) => {
                self.device.set_vector(target.vector);
                self.device.set_destination(target.cpu);
            }
            Action::SetVector(vector) => self.device.set_vector(vector),
            Action::SetDestination(cpu) => self.device.set_destination(cpu),
            Action::Unmask => self.deliver(self.device.unmask()),
            Action::Flush => return self.device.is_flushed(),
            Action::Drain(target) => return self.is_drained(target, check),
            Action::Remove(target) => {
                self.at(target).table.begin_removal(target.vector);
                if !self.is_drained(target, check) {
                    return false;
                }
                self.contexts.write(handler(target));
                self.at(target).table.end_removal(target.vector);
            }
            Action::Free(target) => assert!(self.at(target).table.is_free(target.vector)),
        }
        true
    }

    /// Whether a check of the target's CPU has found the vector neither requested nor in service.
    fn is_drained(&self, target: Target, check: &mut Option<usize>) -> bool {
        let cpu = self.at(target);
        let requested_check = *check.get_or_insert_with(|| cpu.request_check(target.vector));
        let found = cpu.check_result(requested_check);
        if found.is_some() {
            *check = None;
        }
        found == Some(0)
    }
}

/// Takes the pending interrupts of a CPU that can be interrupted. Returns whether there was one.
fn take_interrupt(owner: &mut Owner<Machine>) -> bool {
    let is_new = owner.dispatch(Vector(1)) | owner.dispatch(Vector(0));
    owner.point();
    is_new
}

/// Moves a line during `events` events of its device, without the steps that `skip` selects. With
/// more events, fewer preemptions are tried.
fn explore_move(source: SourceKind, events: usize, skip: fn(&Action) -> bool) {
    explore(Some(4 - events), move || {
        let machine = Arc::new(Machine {
            cpus: [Cpu::new(), Cpu::new()],
            contexts: Contexts::new(),
            device: Device::new(source, OLD),
        });
        assert!(machine.step(Action::Install(OLD), &mut None));
        let device = beside(&machine, move |machine| {
            (0..events).for_each(|_| machine.deliver(machine.device.event()));
        });
        let old = {
            let mut owner = Owner::new(&machine, OLD.cpu.0 as usize);
            spawn(move || {
                for _ in 0..events {
                    take_interrupt(&mut owner);
                }
                owner
            })
        };
        let mut new = Owner::new(&machine, NEW.cpu.0 as usize);
        let mut check = None;
        let mut it = Move::new(source, OLD, NEW).unwrap();
        while let Some(action) = it.action()
            && (skip(&action) || machine.step(action, &mut check))
        {
            it.advance();
            new.dispatch(NEW.vector);
        }
        let rest = it.clone();

        device.join().unwrap();
        let mut old = old.join().unwrap();
        let mut steps = 0..MAX_STEPS;
        while let Some(action) = it.action() {
            assert!(steps.next().is_some(), "endless: {action}");
            take_interrupt(&mut old);
            take_interrupt(&mut new);
            if skip(&action) || machine.step(action, &mut check) {
                it.advance();
            }
        }
        while take_interrupt(&mut old) | take_interrupt(&mut new) {}
        assert_eq!(machine.device.seen(), events, "lost");
        let moved = rest
            .action()
            .is_none_or(|action| matches!(action, Action::Drain(_)));
        let ran = [&old, &new].map(|it| it.ran.len());
        assert!(ran[0] + ran[1] <= events, "doubled");

        // From now on, interrupts arrive at the new target only.
        machine.deliver(machine.device.event());
        assert!(!take_interrupt(&mut old), "at the old target");
        assert!(take_interrupt(&mut new), "the line is dead");
        assert_eq!(machine.device.seen(), events + 1);
        assert!(
            !take_interrupt(&mut old) && !take_interrupt(&mut new),
            "doubled"
        );
        let all = old.ran.iter().chain(&new.ran);
        assert!(all.copied().all(|it| it.is_some()), "unhandled");
        moved && ran.iter().sum::<usize>() == events && ran[1] == 1
    });
}

fn nothing(_: &Action) -> bool {
    false
}

#[test]
fn a_message_that_can_be_masked() {
    explore_move(SourceKind::MaskableMessage, 1, nothing);
    explore_move(SourceKind::MaskableMessage, 2, nothing);
}

/// An edge-triggered pin has the same steps.
#[test]
fn a_message_that_cannot_be_masked() {
    explore_move(SourceKind::PlainMessage, 2, nothing);
}

#[test]
fn a_level_triggered_pin() {
    explore_move(SourceKind::LevelPin, 2, nothing);
}

#[test]
#[should_panic(expected = "lost")]
fn the_mask_is_needed() {
    explore_move(SourceKind::MaskableMessage, 2, |action| {
        *action == Action::Mask
    });
}

#[test]
#[should_panic(expected = "lost")]
fn the_intermediate_target_is_needed() {
    explore_move(SourceKind::PlainMessage, 2, |action| {
        [
            Action::Install(INTERMEDIATE),
            Action::Drain(INTERMEDIATE),
            Action::Remove(INTERMEDIATE),
        ]
        .contains(action)
    });
}

#[test]
#[should_panic(expected = "the line is dead")]
fn the_clear_remote_irr_is_needed() {
    explore_move(SourceKind::LevelPin, 2, |action| {
        *action == Action::AwaitIdle
    });
}

#[test]
#[should_panic(expected = "lost")]
fn the_flush_is_needed() {
    explore_move(SourceKind::MaskableMessage, 1, |action| {
        *action == Action::Flush
    });
}

#[test]
#[should_panic(expected = "lost")]
fn the_drain_is_needed() {
    explore_move(SourceKind::PlainMessage, 2, |action| {
        matches!(action, Action::Drain(_))
    });
}
