//! Cancellation of long operations by the user: Ctrl-C.
//!
//! An operation that may take longer than a few seconds calls [`is_requested`] in its loops and
//! waits, and then returns in the normal way: it drops its lines and timers and reports its
//! results. The monitor sets the function that reads the input, because this module must not depend
//! on it.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::fn_cell::FnCell;
use crate::time;

/// Time between two polls of the input, in nanoseconds.
const PERIOD: u64 = 5_000_000;

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// Time of the next poll of the input, in nanoseconds.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Reads the input and calls [`request`].
static INPUT: FnCell<fn()> = FnCell::empty();

/// Sets the function that reads the input, and calls [`request`] on Ctrl-C. Context: thread.
pub fn set_input(poll: fn()) {
    INPUT.replace(Some(poll));
}

/// Requests the cancellation of the operation that is running. Context: any.
pub fn request() {
    REQUESTED.store(true, Ordering::Release);
}

/// Begins an operation: forgets an earlier request. Context: thread.
pub fn clear() {
    REQUESTED.store(false, Ordering::Release);
}

/// Whether cancellation was requested, without polling the input. Context: any.
#[must_use]
pub fn was_requested() -> bool {
    REQUESTED.load(Ordering::Acquire)
}

/// Whether cancellation was requested. Polls the input every few milliseconds, so that it works
/// while interrupts do not arrive.
///
/// Context: thread.
#[must_use]
pub fn is_requested() -> bool {
    if was_requested() {
        return true;
    }
    let (now, next) = (time::nanoseconds(), NEXT.load(Ordering::Relaxed));
    if now < next {
        return false;
    }
    // One CPU at a time polls.
    let claimed = NEXT.compare_exchange(next, now + PERIOD, Ordering::Relaxed, Ordering::Relaxed);
    if let (Ok(_), Some(input)) = (claimed, INPUT.get()) {
        input();
    }
    was_requested()
}
