//! Every context against every limit, and the messages.

use super::{class, classes};
use crate::irq::context::{Context, Level, check};
use crate::irq::priority::ppr;
use crate::vector::{PriorityClass, Vector};
use std::format;

const THREAD: Context = Context {
    in_nmi: false,
    interrupts_enabled: true,
    cr8: PriorityClass::LOWEST,
    in_service: None,
};

#[test]
fn the_class_is_that_of_the_ppr() {
    for cr8 in classes() {
        for in_service in (32..=255).map(|number| Some(Vector(number))).chain([None]) {
            let context = Context {
                cr8,
                in_service,
                ..THREAD
            };
            assert_eq!(context.class().get(), ppr(cr8.get() << 4, in_service) >> 4);
            assert_eq!(context.level(), Level::Class(context.class()));
        }
    }
}

#[test]
fn interrupts_off_is_above_every_class_and_nmi_above_all() {
    for cr8 in classes() {
        let off = Context {
            interrupts_enabled: false,
            cr8,
            ..THREAD
        };
        assert!(check("f", Level::Class(PriorityClass::HIGHEST), off).is_err());
        assert!(check("f", Level::InterruptsOff, off).is_ok());
        for interrupts_enabled in [false, true] {
            let nmi = Context {
                in_nmi: true,
                interrupts_enabled,
                ..off
            };
            assert!(check("f", Level::InterruptsOff, nmi).is_err());
            assert!(check("f", Level::Nmi, nmi).is_ok());
        }
    }
}

#[test]
fn a_limit_admits_its_class_and_those_below() {
    for limit in classes() {
        for cr8 in classes() {
            let context = Context { cr8, ..THREAD };
            let is_allowed = check("f", Level::Class(limit), context).is_ok();
            assert_eq!(is_allowed, cr8 <= limit);
        }
    }
}

#[test]
fn violations_name_operation_context_and_limit() {
    let handler = Context {
        in_service: Some(Vector(0x91)),
        ..THREAD
    };
    let text = |context| {
        let violation = check("CeilingMutex::lock", Level::Class(class(6)), context);
        format!("{}", violation.expect_err("above class 6"))
    };
    assert_eq!(
        text(handler),
        "context: CeilingMutex::lock: called in a handler of class 9 (vector 0x91) (it is for threads and \
         handlers up to class 6; see docs/contexts.md)"
    );
    let raised = Context {
        cr8: class(9),
        ..THREAD
    };
    assert!(text(raised).contains("called in a thread with CR8 raised to class 9 ("));
    let off = Context {
        interrupts_enabled: false,
        ..handler
    };
    assert!(text(off).contains("(vector 0x91) with interrupts disabled ("));
    let nmi = Context {
        in_nmi: true,
        ..off
    };
    assert!(text(nmi).contains("called in an NMI handler ("));
}
