//! Preemption, for all vectors, all classes and all values of CR8.

use super::{class, classes};
use crate::irq::priority::{Accepted, ClassSet, Model, is_deliverable, max_depth, ppr};
use crate::irq::vectors::VectorSet;
use crate::vector::{PriorityClass, Vector};
use std::collections::HashSet;
use std::vec::Vec;

fn vectors() -> impl Iterator<Item = Vector> {
    (0..=u8::MAX).map(Vector)
}

/// SDM vol. 3A, 12.8.3.1: PPR[7:4] = max(TPR[7:4], ISRV[7:4]); PPR[3:0] = TPR[3:0] if TPR's
/// class is the higher one, 0 if the ISRV's is, either if both are equal.
#[test]
fn ppr_of_every_tpr_and_isr() {
    for tpr in 0..=u8::MAX {
        assert_eq!(ppr(tpr, None), tpr);
        for isrv in vectors() {
            let ppr = ppr(tpr, Some(isrv));
            let (task, service) = (tpr / 16, isrv.get() / 16);
            assert_eq!(ppr / 16, task.max(service));
            match task.cmp(&service) {
                std::cmp::Ordering::Greater => assert_eq!(ppr % 16, tpr % 16),
                std::cmp::Ordering::Less => assert_eq!(ppr % 16, 0),
                std::cmp::Ordering::Equal => assert!([0, tpr % 16].contains(&(ppr % 16))),
            }
            // The lower bits do not affect delivery.
            for vector in vectors() {
                assert_eq!(is_deliverable(vector, ppr), vector.get() / 16 > ppr / 16);
            }
        }
    }
}

/// Every arriving vector, every vector in service, and every CR8.
#[test]
fn one_arrives_during_another() {
    for cr8 in classes() {
        for service in [None].into_iter().chain(vectors().skip(16).map(Some)) {
            for vector in vectors() {
                let mut apic = Model::RESET;
                if let Some(service) = service {
                    apic.request(service);
                    assert_eq!(apic.deliver(), Some(service));
                }
                apic.set_cr8(cr8);
                let accepted = apic.request(vector);
                if vector.get() < 16 {
                    assert_eq!(accepted, Accepted::Illegal);
                    assert_eq!(apic.deliver(), None);
                    continue;
                }
                assert_eq!(accepted, Accepted::Requested);
                assert_eq!(apic.request(vector), Accepted::Merged);
                let held_by = service.map_or(cr8, |it| it.priority_class().max(cr8));
                let is_taken = vector.priority_class() > held_by;
                assert_eq!(apic.deliver(), is_taken.then_some(vector));
                let waiting = (!is_taken).then_some(vector);
                assert!(apic.irr.iter().eq(waiting), "{vector} during {service:?}");
                if is_taken {
                    // It receives its EOI first.
                    assert_eq!(apic.eoi(), Some(vector));
                    assert_eq!(apic.eoi(), service);
                } else {
                    // The pending interrupt is delivered after the higher one has ended and CR8 has
                    // been lowered.
                    assert_eq!(apic.eoi(), service);
                    apic.set_cr8(PriorityClass::LOWEST);
                    let expected = Some(vector).filter(|it| it.priority_class().get() > 0);
                    assert_eq!(apic.deliver(), expected);
                }
                while apic.eoi().is_some() {}
                assert_eq!(apic.isr, VectorSet::EMPTY);
            }
        }
    }
}

/// A handler that raises and lowers CR8 itself cannot go below its own class.
#[test]
fn cr8_in_a_handler() {
    for service in classes().into_iter().skip(2) {
        for cr8 in classes() {
            for arriving in classes().into_iter().skip(2) {
                let mut apic = Model::RESET;
                apic.request(Vector(service.get() << 4));
                apic.deliver();
                apic.set_cr8(cr8);
                apic.request(Vector(arriving.get() << 4 | 1));
                let is_taken = apic.deliver().is_some();
                assert_eq!(is_taken, arriving > service && arriving > cr8);
            }
        }
    }
}

/// Every set of classes in service, every CR8, and an arrival of every class: 16384 x 16 x 16.
#[test]
fn nesting_of_all_classes() {
    for in_service in 0..1_u32 << 14 {
        let isr: VectorSet = (0..14)
            .filter(|bit| in_service >> bit & 1 != 0)
            .map(|bit| Vector((bit + 2) << 4))
            .collect();
        let highest = isr.highest().map_or(0, |it| it.priority_class().get());
        for cr8 in 0..16 {
            for arriving in 2..16 {
                let vector = Vector(arriving << 4 | 0xf);
                let mut apic = Model {
                    irr: VectorSet::of(vector),
                    isr,
                    tpr: cr8 << 4,
                };
                let is_taken = apic.deliver().is_some();
                assert_eq!(is_taken, arriving > highest.max(cr8));
                let depth = isr.len() + u32::from(is_taken);
                assert_eq!(apic.depth(), depth);
                assert_eq!(apic.isr.classes().len(), depth, "a class twice");
            }
        }
    }
}

/// Three classes of two vectors: every reachable state, by every order of arrivals, deliveries,
/// EOIs and values of CR8.
#[test]
fn nothing_is_lost_repeated_or_out_of_order() {
    let used = [0x20, 0x21, 0x50, 0x51, 0xf0, 0xf1].map(Vector);
    let of_use = VectorSet::from_iter(used).classes();
    let mut seen = HashSet::from([Model::RESET]);
    let mut open = Vec::from([Model::RESET]);
    while let Some(state) = open.pop() {
        let mut next = Vec::new();
        for vector in used {
            let mut arrived = state;
            let accepted = arrived.request(vector);
            assert_eq!(accepted == Accepted::Merged, state.irr.contains(vector));
            assert!(arrived.irr.contains(vector));
            next.push(arrived);
        }
        for cr8 in [0, 2, 5, 14, 15] {
            let mut raised = state;
            raised.set_cr8(class(cr8));
            next.push(raised);
        }
        let mut delivered = state;
        if let Some(vector) = delivered.deliver() {
            assert!(vector.get() >> 4 > state.ppr() >> 4);
            assert_eq!(state.irr.highest(), Some(vector));
            assert_eq!(delivered.isr, state.isr.with(VectorSet::of(vector)));
            assert_eq!(delivered.irr, state.irr.without(VectorSet::of(vector)));
            next.push(delivered);
        } else {
            assert_eq!(delivered, state);
        }
        let mut ended = state;
        let highest = ended.eoi();
        assert_eq!(highest, state.isr.highest());
        next.push(ended);
        assert!(state.depth() <= max_depth(of_use));
        assert_eq!(state.isr.classes().len(), state.depth(), "a class twice");

        // From every state, each pending interrupt is delivered once when it is permitted.
        let mut run = state;
        run.set_cr8(PriorityClass::LOWEST);
        let mut came = VectorSet::EMPTY;
        while let Some(vector) = run.deliver().or_else(|| run.eoi().map(|_| Vector(0))) {
            assert!(vector.get() == 0 || came.insert(vector), "doubled");
        }
        assert_eq!(came, state.irr, "lost");
        assert_eq!(run, Model::RESET);

        open.extend(next.into_iter().filter(|it| seen.insert(*it)));
    }
    assert!(seen.len() > 5000, "{} states", seen.len());
}

#[test]
fn cr8_is_the_upper_half_of_the_tpr() {
    for tpr in 0..=u8::MAX {
        for cr8 in classes() {
            let mut apic = Model::RESET;
            apic.set_tpr(tpr);
            assert_eq!(apic.ppr(), tpr);
            apic.set_cr8(cr8);
            assert_eq!((apic.tpr, apic.ppr()), (cr8.get() << 4, cr8.get() << 4));
        }
    }
}

/// Every set of classes.
#[test]
fn class_sets() {
    for bits in 0..=u16::MAX {
        let set = classes()
            .into_iter()
            .filter(|it| bits >> it.get() & 1 != 0)
            .fold(ClassSet::EMPTY, ClassSet::with);
        assert_eq!(set.len(), bits.count_ones());
        assert_eq!(set.is_empty(), bits == 0);
        assert_eq!(max_depth(set), (bits & 0xfffc).count_ones());
        for class in classes() {
            assert_eq!(set.contains(class), bits >> class.get() & 1 != 0);
            let above = u32::from(bits) >> class.get() >> 1;
            assert_eq!(set.above(class).len(), above.count_ones());
        }
    }
    assert!(ClassSet::USABLE.iter().eq(classes().into_iter().skip(2)));
}
