//! The steps of a move: completed, abandoned at every point, and with every choice of vectors.
//! `tests/loom` tests that no interrupt is lost while interrupts arrive.

use super::{class, classes};
use crate::irq::affinity::{Action, Move, SourceKind, Target, choose_vector};
use crate::irq::vectors::VectorSet;
use crate::topology::CpuId;
use crate::vector::Vector;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::string::ToString;
use std::vec::Vec;

const SOURCES: [SourceKind; 4] = [
    SourceKind::MaskableMessage,
    SourceKind::PlainMessage,
    SourceKind::EdgePin,
    SourceKind::LevelPin,
];

const OLD: Target = target(1, 0x41);

/// The new targets: another vector, another CPU, both.
const NEW: [Target; 3] = [target(1, 0x52), target(2, 0x41), target(2, 0x52)];

const fn target(cpu: u32, vector: u8) -> Target {
    Target {
        cpu: CpuId(cpu),
        vector: Vector(vector),
    }
}

fn steps(mut it: Move) -> Vec<Action> {
    let mut steps = Vec::new();
    while let Some(action) = it.action() {
        steps.push(action);
        it.advance();
    }
    it.advance();
    assert_eq!(it.action(), None);
    steps
}

/// A machine that performs the steps, and rejects those that are wrong on any machine.
struct Machine {
    source: SourceKind,
    route: Target,
    masked: bool,
    /// Targets with a handler, and those whose vector is allocated.
    installed: BTreeSet<(u32, u8)>,
    taken: BTreeSet<(u32, u8)>,
    drained: BTreeSet<(u32, u8)>,
    flushed: bool,
}

impl Machine {
    fn new(source: SourceKind, targets: impl Iterator<Item = Target>) -> Self {
        Self {
            source,
            route: OLD,
            masked: false,
            installed: BTreeSet::from([key(OLD)]),
            taken: targets.chain([OLD]).map(key).collect(),
            drained: BTreeSet::new(),
            flushed: false,
        }
    }

    fn act(&mut self, action: Action) {
        let can_mask = matches!(
            self.source,
            SourceKind::MaskableMessage | SourceKind::LevelPin
        );
        match action {
            Action::Install(target) => {
                assert!(self.taken.contains(&key(target)));
                assert!(self.installed.insert(key(target)), "twice");
            }
            Action::Mask => {
                assert!(can_mask, "it loses interrupts");
                self.masked = true;
            }
            Action::AwaitIdle => assert!(self.masked && self.source == SourceKind::LevelPin),
            Action::SetRoute(target) => {
                assert!(self.masked, "two writes");
                self.route = target;
            }
            Action::SetVector(vector) => self.route.vector = vector,
            Action::SetDestination(cpu) => self.route.cpu = cpu,
            Action::Unmask => self.masked = false,
            Action::Flush => self.flushed = true,
            Action::Drain(target) => {
                assert!(self.flushed && self.route != target);
                self.drained.insert(key(target));
            }
            Action::Remove(target) => {
                assert!(self.route != target);
                assert!(self.installed.remove(&key(target)));
            }
            Action::Free(target) => {
                assert!(!self.installed.contains(&key(target)), "with a handler");
                assert!(self.taken.remove(&key(target)), "twice");
            }
        }
        // An interrupt finds a handler at every target that it may be delivered to now.
        assert!(
            self.masked || self.installed.contains(&key(self.route)),
            "{action}"
        );
    }
}

fn key(target: Target) -> (u32, u8) {
    (target.cpu.0, target.vector.get())
}

#[test]
fn every_move() {
    for source in SOURCES {
        assert_eq!(Move::new(source, OLD, OLD), None);
        for new in NEW {
            let it = Move::new(source, OLD, new).expect("two targets");
            let mut machine = Machine::new(source, it.targets());
            let used = machine.taken.clone();
            for action in steps(it) {
                machine.act(action);
            }
            assert_eq!(machine.route, new);
            assert_eq!(machine.installed, BTreeSet::from([key(new)]));
            assert_eq!(machine.taken, BTreeSet::from([key(new)]));
            // Every abandoned target was observed to be idle.
            let left: BTreeSet<_> = used.difference(&machine.taken).copied().collect();
            assert_eq!(machine.drained, left);
        }
    }
}

#[test]
fn every_move_abandoned_at_every_step() {
    for source in SOURCES {
        for new in NEW {
            let whole = Move::new(source, OLD, new).expect("two targets");
            for done in 0..=steps(whole.clone()).len() {
                let mut it = whole.clone();
                let mut machine = Machine::new(source, it.targets());
                for _ in 0..done {
                    machine.act(it.action().expect("a step"));
                    it.advance();
                }
                let before = it.clone();
                let route = machine.route;
                if it.abandon() {
                    assert_eq!(route, OLD);
                    assert!(it.abandon(), "twice");
                    for action in steps(it) {
                        machine.act(action);
                    }
                    assert_eq!(machine.route, OLD);
                    assert_eq!(machine.installed, BTreeSet::from([key(OLD)]));
                    assert_eq!(machine.taken, BTreeSet::from([key(OLD)]));
                    assert!(!machine.masked);
                } else {
                    assert_ne!(route, OLD);
                    assert_eq!(it, before);
                }
            }
        }
    }
}

#[test]
fn an_edge_pin_moves_like_an_unmaskable_message() {
    for new in NEW {
        let [edge, plain] = [SourceKind::EdgePin, SourceKind::PlainMessage]
            .map(|source| Move::new(source, OLD, new).map(steps));
        assert_eq!(edge, plain);
    }
}

#[test]
fn step_texts() {
    let [level, message] = [SourceKind::LevelPin, SourceKind::PlainMessage].map(|source| {
        let it = Move::new(source, OLD, NEW[2]).expect("two targets");
        steps(it)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    });
    assert_eq!(
        level,
        [
            "install the handler at vector 0x52 of CPU 2",
            "mask",
            "wait for remote IRR to clear",
            "route to vector 0x52 of CPU 2",
            "unmask",
            "wait for messages on their way",
            "wait for IRR and ISR to clear at vector 0x41 of CPU 1",
            "remove the handler from vector 0x41 of CPU 1",
            "free vector 0x41 of CPU 1",
        ]
    );
    assert_eq!(
        message[..5],
        [
            "install the handler at vector 0x52 of CPU 2",
            "install the handler at vector 0x52 of CPU 1",
            "set vector 0x52",
            "set destination CPU 2",
            "wait for messages on their way",
        ]
    );
    assert_eq!(message.len(), 11);
}

proptest! {
    /// The choice is a whole block of the class that is free on every CPU where the move needs it;
    /// `None` is returned only if there is no such block.
    #[test]
    fn chosen_vectors(
        source in prop::sample::select(&SOURCES[..]),
        class_number in 2..16_u8,
        size in prop::sample::select(&[1_u8, 2, 4, 8, 16][..]),
        old in 0x20..=0xff_u8,
        registers in any::<[[u32; 8]; 4]>(),
    ) {
        // With half of the vectors free, there would hardly be a block of four.
        let [one, other, third, fourth] = registers.map(VectorSet::from_registers);
        let [on_old, on_new] = [one.with(other), third.with(fourth)];
        let old = Vector(old - old % size);
        let class = class(class_number);
        let can_be_masked = matches!(source, SourceKind::MaskableMessage | SourceKind::LevelPin);
        let chosen = choose_vector(source, class, size, old, on_old, on_new);
        if let Some(first) = chosen {
            let block = VectorSet::block(first, size);
            prop_assert_eq!(block.len(), u32::from(size));
            prop_assert_eq!(first.priority_class(), class);
            prop_assert!(block.without(on_new).is_empty());
            let needs_third = !can_be_masked && first != old;
            prop_assert!(!needs_third || block.without(on_old).is_empty());
        } else {
            let both = if can_be_masked { on_new } else { on_new.common(on_old) };
            prop_assert_eq!(both.find_block(class, size), None);
        }
        // One write, if possible.
        let same = VectorSet::block(old, size);
        if !can_be_masked && old.priority_class() == class && same.without(on_new).is_empty() {
            prop_assert_eq!(chosen, Some(old));
        }
    }
}

#[test]
fn no_vector_is_free() {
    for source in SOURCES {
        for class in classes() {
            let chosen = choose_vector(
                source,
                class,
                1,
                OLD.vector,
                VectorSet::ALL,
                VectorSet::EMPTY,
            );
            assert_eq!(chosen, None);
        }
    }
}
