//! Storming lines: masked from within their own handler, logged, and unmasked on probation.
//! `tocsin_logic::irq::storm` makes the decisions.

use alloc::sync::{Arc, Weak};
use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::irq::storm::{Change, Detector, Policy, Storm};

use crate::line::inner::{Inner, MaskReason};
use crate::sync::IrqMutex;
use crate::timer::{Expiry, Mode, Timer, TimerError};
use crate::{deferred, time};

/// The storm detection of one line.
#[derive(Debug)]
pub(super) struct StormState {
    detector: IrqMutex<Detector>,
    /// The storm that has not been logged yet.
    unreported: IrqMutex<Option<Storm>>,
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

impl StormState {
    pub(super) fn new() -> Self {
        Self {
            detector: IrqMutex::new(Detector::new(Policy::DEFAULT)),
            unreported: IrqMutex::new(None),
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
pub(super) fn check(inner: &Arc<Inner>) {
    if !inner.with(|state| state.source.can_stop_storms()) {
        return;
    }
    let counts = inner.counts();
    // Another CPU to which the line is bound during a move is checking already.
    let Some(mut detector) = inner.storm.detector.try_lock() else {
        return;
    };
    let Some(storm) = detector.observe(time::nanoseconds(), counts) else {
        return;
    };
    drop(detector);
    inner.set_masked(MaskReason::Storm, true);
    inner.storm.storms.fetch_add(1, Ordering::Relaxed);
    *inner.storm.unreported.lock() = Some(storm);
    let argument = Arc::into_raw(Arc::clone(inner)) as usize;
    if deferred::defer(report, argument).is_err() {
        // The queue is full, which the queue itself logs.
        report(argument);
    }
}

/// Logs the storm, and starts the timer for the probation. Deferred.
extern "C" fn report(argument: usize) {
    // SAFETY: `check` passed this reference to the deferred work.
    let inner = unsafe { Arc::from_raw(argument as *const Inner) };
    let storm = inner.storm.unreported.lock().take();
    let Some(storm) = storm else { return };
    let line = inner.describe();
    log::warn!("line {} ({}): {storm}", line.name, line.source);
    if let Err(error) = start_retry(&inner) {
        log::error!(
            "line {}: no timer for the probation: {error} (it stays masked)",
            line.name
        );
    }
}

fn start_retry(inner: &Arc<Inner>) -> Result<(), TimerError> {
    let Some(deadline) = next_event(inner) else {
        return Ok(());
    };
    let mut retry = inner.storm.retry.lock();
    if matches!(*retry, Retry::None) {
        let line = Arc::downgrade(inner);
        let function = move |expiry: &Expiry<'_>| retry_line(&line, expiry);
        *retry = Retry::Timer(Timer::new("storm probation", Mode::Deferred, function)?);
    }
    match &mut *retry {
        Retry::Timer(timer) => timer.at(deadline),
        Retry::None | Retry::Closed => Ok(()),
    }
}

fn next_event(inner: &Inner) -> Option<u64> {
    inner.storm.detector.lock().next_event()
}

/// Handles the begin or the end of a probation. Deferred.
fn retry_line(line: &Weak<Inner>, expiry: &Expiry<'_>) {
    let Some(inner) = line.upgrade() else { return };
    let change = inner.storm.detector.lock().poll(time::nanoseconds());
    match change {
        Some(Change::Unmask) => {
            log::info!("line {}: unmasked on probation", inner.name);
            inner.unmask_after_storm();
        }
        Some(Change::Recovered) => log::info!("line {}: no storm during the probation", inner.name),
        None => {}
    }
    if let Some(next) = next_event(&inner) {
        expiry.at(next);
    }
}
