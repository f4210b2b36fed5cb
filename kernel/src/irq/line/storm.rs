//! Lines that have gone mad: masked from within their own handler, named, and let through again on
//! trial. `tocsin_logic::irq::storm` decides.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::irq::storm::{Detector, Policy, Storm};

use super::shared::{Masker, Shared};
use crate::irq::deferred;
use crate::sync::IrqMutex;
use crate::time;

/// The watch over one line.
#[derive(Debug)]
pub(super) struct Watch {
    detector: IrqMutex<Detector>,
    /// The storm that has not been reported.
    last: IrqMutex<Option<Storm>>,
    storms: AtomicU32,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            detector: IrqMutex::new(Detector::new(Policy::DEFAULT)),
            last: IrqMutex::new(None),
            storms: AtomicU32::new(0),
        }
    }

    pub(super) fn storms(&self) -> u32 {
        self.storms.load(Ordering::Relaxed)
    }
}

/// Looks whether the line storms, and masks it if so. In its handler.
#[cold]
pub(super) fn look(shared: &Arc<Shared>) {
    if !shared.with(|state| state.origin.can_be_stopped()) {
        return;
    }
    let counts = shared.counts();
    // Another CPU that has the line too, for the time of a move, looks already.
    let Some(mut detector) = shared.watch.detector.try_lock() else {
        return;
    };
    let Some(storm) = detector.observe(time::nanoseconds(), counts) else {
        return;
    };
    drop(detector);
    shared.set_masked(Masker::Storm, true);
    shared.watch.storms.fetch_add(1, Ordering::Relaxed);
    *shared.watch.last.lock() = Some(storm);
    let argument = Arc::into_raw(Arc::clone(shared)) as usize;
    if deferred::defer(report, argument).is_err() {
        // Then the line is let through at once, and the next storm tells.
        report(argument);
    }
}

/// Tells of the storm. Deferred.
extern "C" fn report(argument: usize) {
    // SAFETY: 1. `look` gave away this reference.
    let shared = unsafe { Arc::from_raw(argument as *const Shared) };
    let storm = shared.watch.last.lock().take();
    if let Some(storm) = storm {
        let line = shared.describe();
        log::warn!("line {} ({}): {storm}", line.name, line.source);
    }
}
