//! The size of the interrupt stack.

use super::classes;
use crate::irq::priority::{ClassSet, Model};
use crate::irq::stack::{ENTRY, EXCEPTION, HANDLER, REPORT, bound, of_handlers};
use crate::layout::StackKind;
use crate::vector::{PriorityClass, Vector};

/// Every set of classes: the deepest nesting that the local APIC permits, with each handler at its
/// limit.
#[test]
fn every_set_of_classes_fits_its_bound() {
    for bits in 0..=u16::MAX {
        let used = || classes().into_iter().filter(|it| bits >> it.get() & 1 != 0);
        let set = used().fold(ClassSet::EMPTY, ClassSet::with);
        let mut apic = Model::RESET;
        let mut bytes = 0;
        // The lowest first, or they would not nest.
        for class in used().filter(|&it| it >= PriorityClass::LOWEST_USABLE) {
            apic.request(Vector(class.get() << 4));
            if apic.deliver().is_some() {
                bytes += ENTRY + HANDLER;
            }
        }
        assert_eq!(bytes + EXCEPTION + HANDLER, of_handlers(apic.depth()));
        assert_eq!(of_handlers(apic.depth()) + EXCEPTION + REPORT, bound(set));
        assert!(bound(set) <= StackKind::Interrupt.size());
    }
}

/// In both profiles: handlers of a release build may use less.
#[test]
fn figures() {
    assert_eq!((ENTRY, EXCEPTION), (136, 184));
    let (handler, all) = if cfg!(debug_assertions) {
        (6144, 102_624)
    } else {
        (2048, 41_184)
    };
    assert_eq!(of_handlers(0), 184 + handler);
    assert_eq!(of_handlers(4), 4 * (136 + handler) + 184 + handler);
    assert_eq!(bound(ClassSet::USABLE), all);
}
