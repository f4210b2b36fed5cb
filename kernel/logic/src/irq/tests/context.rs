//! Every context against every limit, and the messages.

use super::{class, classes};
use crate::irq::context::{Context, Level, Limit, check};
use crate::irq::priority::ppr;
use crate::vector::{PriorityClass, Vector};
use std::format;

const THREAD: Context = Context {
    in_nmi: false,
    interrupts_enabled: true,
    cr8: PriorityClass::LOWEST,
    in_service: None,
    is_serving: false,
    irq_locks: 0,
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

fn handler(vector: u8) -> Context {
    Context {
        in_service: Some(Vector(vector)),
        ..THREAD
    }
}

fn disabled(context: Context) -> Context {
    Context {
        interrupts_enabled: false,
        ..context
    }
}

#[test]
fn levels_are_in_order() {
    let raised = Context {
        cr8: class(6),
        ..handler(0x43)
    };
    assert_eq!(THREAD.level(), Level::THREAD);
    assert_eq!(handler(0x43).level(), Level::Class(class(4)));
    assert_eq!(raised.level(), Level::Class(class(6)));
    assert_eq!(disabled(handler(0xf0)).level(), Level::InterruptsOff);
    assert!(Level::Class(class(15)) < Level::InterruptsOff);
}

#[test]
fn a_called_function_has_its_class_with_interrupts_disabled_too() {
    let served = Context {
        is_serving: true,
        cr8: class(13),
        ..disabled(THREAD)
    };
    assert_eq!(served.level(), Level::Class(class(13)));
    let locked = Context {
        irq_locks: 1,
        ..served
    };
    assert_eq!(locked.level(), Level::InterruptsOff);
}

#[test]
fn a_ceiling_lock_is_for_code_up_to_its_ceiling() {
    let allows = |context| Limit::Ceiling(class(6)).allows(context);
    let raised = |number, context| Context {
        cr8: class(number),
        ..context
    };
    assert!(allows(THREAD) && allows(handler(0x6f)) && !allows(handler(0x70)));
    assert!(allows(raised(6, THREAD)) && allows(raised(6, handler(0x40))));
    assert!(!allows(raised(7, THREAD)) && !allows(raised(9, handler(0x40))));
    assert!(!allows(disabled(THREAD)));
    assert!(!allows(Context {
        is_serving: true,
        ..THREAD
    }));
}

#[test]
fn waiting_is_for_those_that_can_be_called_and_hold_no_lock() {
    let waits = |context| Limit::Wait.allows(context);
    assert!(waits(THREAD) && waits(disabled(THREAD)) && waits(handler(0xcf)));
    assert!(!waits(handler(0xd0)) && !waits(handler(0xe0)));
    let raised = |number| Context {
        cr8: class(number),
        ..THREAD
    };
    assert!(waits(raised(12)) && !waits(raised(13)) && !waits(disabled(raised(13))));
    assert!(!waits(Context {
        irq_locks: 1,
        ..disabled(THREAD)
    }));
    assert!(!waits(Context {
        is_serving: true,
        ..THREAD
    }));
    assert!(!waits(Context {
        in_nmi: true,
        ..THREAD
    }));
}

#[test]
fn messages_name_the_rule() {
    let locked = Context {
        irq_locks: 1,
        ..disabled(THREAD)
    };
    let violation = check("call::sync", Limit::Wait, locked).unwrap_err();
    assert_eq!(
        format!("{violation}"),
        "context: call::sync: called in a thread with 1 IrqMutex held (it is for threads and \
         handlers up to class 12 that hold no IrqMutex, because it waits for another CPU; see \
         docs/contexts.md)"
    );
    let limit = Limit::Ceiling(class(5));
    let violation = check("CeilingMutex::lock", limit, handler(0x61)).unwrap_err();
    assert_eq!(
        format!("{violation}"),
        "context: CeilingMutex::lock: called in a handler of class 6 (vector 0x61) (it is for \
         threads and handlers up to class 5 with interrupts enabled, which the ceiling keeps out; see \
         docs/contexts.md)"
    );
}
