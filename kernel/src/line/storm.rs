//! Storming lines: masked from within their own handler, logged, and unmasked on probation.
//! `tocsin_logic::irq::storm` makes the decisions.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::irq::storm::{Change, Detector, Policy, Storm};

use crate::line::inner::{MaskReason, Shared};
use crate::sync::IrqMutex;
use crate::timer::{Expiry, Mode, Timer, TimerError};
use crate::{deferred, time};

/// The storm detection of one line.
#[derive(Debug)]
pub(super) struct Watch {
    detector: IrqMutex<Detector>,
    /// The storm that has not been logged yet.
    last: IrqMutex<Option<Storm>>,
    storms: AtomicU32,
    retry: IrqMutex<Retry>,
}

/// The timer that unmasks the line.
#[derive(Debug)]
enum Retry {
    /// No storm has occurred yet.
    None,
    Timer(Timer),
    /// The line is being dropped.
    Closed,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            detector: IrqMutex::new(Detector::new(Policy::DEFAULT)),
            last: IrqMutex::new(None),
            storms: AtomicU32::new(0),
            retry: IrqMutex::new(Retry::None),
        }
    }

    pub(super) fn storms(&self) -> u32 {
        self.storms.load(Ordering::Relaxed)
    }

    /// Stops unmasking permanently. In a thread.
    pub(super) fn close(&self) {
        let retry = core::mem::replace(&mut *self.retry.lock(), Retry::Closed);
        // Waits until the timer's function has returned.
        drop(retry);
    }
}

/// Checks whether the line is storming, and masks it if so. Called in its handler.
#[cold]
pub(super) fn look(shared: &Arc<Shared>) {
    if !shared.with(|state| state.source.can_be_stopped()) {
        return;
    }
    let counts = shared.counts();
    // Another CPU to which the line is bound during a move is checking already.
    let Some(mut detector) = shared.watch.detector.try_lock() else {
        return;
    };
    let Some(storm) = detector.observe(time::nanoseconds(), counts) else {
        return;
    };
    drop(detector);
    shared.set_masked(MaskReason::Storm, true);
    shared.watch.storms.fetch_add(1, Ordering::Relaxed);
    *shared.watch.last.lock() = Some(storm);
    let argument = Arc::into_raw(Arc::clone(shared)) as usize;
    if deferred::defer(report, argument).is_err() {
        // The queue is full, which the queue itself logs.
        report(argument);
    }
}

/// Logs the storm, and starts the timer for the probation. Deferred.
extern "C" fn report(argument: usize) {
    // SAFETY: `look` passed this reference to the deferred work.
    let shared = unsafe { Arc::from_raw(argument as *const Shared) };
    let storm = shared.watch.last.lock().take();
    let Some(storm) = storm else { return };
    let line = shared.describe();
    log::warn!("line {} ({}): {storm}", line.name, line.source);
    if let Err(error) = start_retry(&shared) {
        log::error!("line {}: it stays masked: {error}", line.name);
    }
}

fn start_retry(shared: &Arc<Shared>) -> Result<(), TimerError> {
    let Some(deadline) = next_event(shared) else {
        return Ok(());
    };
    let mut retry = shared.watch.retry.lock();
    if matches!(*retry, Retry::None) {
        let line = Arc::downgrade(shared);
        let function = move |expiry: &Expiry<'_>| retry_line(&line, expiry);
        *retry = Retry::Timer(Timer::new("line on trial", Mode::Deferred, function)?);
    }
    match &mut *retry {
        Retry::Timer(timer) => timer.at(deadline),
        Retry::None | Retry::Closed => Ok(()),
    }
}

fn next_event(shared: &Shared) -> Option<u64> {
    shared.watch.detector.lock().next_event()
}

/// Handles the begin or the end of a probation. Deferred.
fn retry_line(line: &Weak<Shared>, expiry: &Expiry<'_>) {
    let Some(shared) = line.upgrade() else { return };
    let change = shared.watch.detector.lock().poll(time::nanoseconds());
    match change {
        Some(Change::Retry) => {
            log::info!("line {}: let through again, on trial", shared.name);
            shared.let_through_again();
        }
        Some(Change::Calm) => log::info!("line {}: calm again", shared.name),
        None => {}
    }
    if let Some(next) = next_event(&shared) {
        expiry.at(next);
    }
}
