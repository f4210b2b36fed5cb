//! Locks whose state changes while they are held.

use tocsin::cpu::context;
use tocsin::priority::{CeilingMutex, raise};
use tocsin::sync::{IrqMutex, without_interrupts};

use crate::{C6, C9};

/// A lock with a lower ceiling is taken under one with a higher ceiling. The other order is
/// permitted.
pub fn ceiling_order() {
    static HIGH: CeilingMutex<()> = CeilingMutex::new(C9, ());
    static LOW: CeilingMutex<()> = CeilingMutex::new(C6, ());
    let low = LOW.lock();
    let high = HIGH.lock();
    drop(low);
    assert_eq!(context::current().cr8, C9);
    drop(LOW.lock());
    drop(high);
}

/// A lock is taken with the priority raised above its ceiling: an interrupt for which the holder
/// may wait is masked.
pub fn ceiling_raised() {
    static LOCK: CeilingMutex<()> = CeilingMutex::new(C6, ());
    let raised = raise(C9);
    drop(LOCK.lock());
    drop(raised);
}

/// A lock is taken twice.
pub fn ceiling_twice() {
    static LOCK: CeilingMutex<()> = CeilingMutex::new(C6, ());
    let first = LOCK.lock();
    drop(LOCK.lock());
    drop(first);
}

/// The last guard of an `IrqMutex` is dropped inside a section: interrupts stay disabled to the end
/// of the section.
pub fn mutex_section() {
    let are_enabled = || context::current().interrupts_enabled;
    let (first, second) = (IrqMutex::new(()), IrqMutex::new(()));
    let guard = first.lock();
    without_interrupts(|| {
        drop(guard);
        assert!(!are_enabled(), "enabled by the last guard");
        drop(second.lock());
        assert!(!are_enabled(), "enabled by a guard of the section");
    });
    assert!(are_enabled());
    // In a nested section.
    let (one, two) = (first.lock(), second.lock());
    without_interrupts(|| {
        drop(one);
        without_interrupts(|| drop(two));
        assert!(!are_enabled(), "enabled by the inner section");
    });
    assert!(are_enabled());
    // A guard that leaves the section keeps them disabled.
    let guard = first.lock();
    let left = without_interrupts(|| {
        drop(guard);
        second.lock()
    });
    assert!(!are_enabled(), "enabled with a lock held");
    drop(left);
    assert!(are_enabled());
    // All of this in a section that began with interrupts enabled.
    without_interrupts(|| {
        let guard = first.lock();
        without_interrupts(|| drop(guard));
        assert!(!are_enabled(), "enabled by the inner section");
        let left = without_interrupts(|| second.lock());
        drop(left);
        assert!(!are_enabled(), "enabled by a guard of the inner section");
    });
    assert!(are_enabled());
}
