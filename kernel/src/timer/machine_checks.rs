//! Polling of the machine-check banks, which finds errors that the hardware has corrected and does
//! not signal.

use alloc::vec::Vec;
use core::mem;

use crate::cpu::machine_check;
use crate::smp;
use crate::sync::IrqMutex;
use crate::timer::{Expiry, Mode, Timer, TimerError};

/// Default time between two polls of each CPU, in nanoseconds.
pub const PERIOD: u64 = 60_000_000_000;

/// The state of the polling: its period, and a timer on each CPU.
static POLLING: IrqMutex<(u64, Vec<Timer>)> = IrqMutex::new((0, Vec::new()));

/// Starts to poll the banks of each online CPU every `period` nanoseconds, as deferred work (class
/// 2). Replaces an earlier period.
///
/// Context: thread.
///
/// # Errors
///
/// [`TimerError`], if a CPU has no free timer; then no CPU is polled.
pub fn start(period: u64) -> Result<(), TimerError> {
    stop();
    let mut timers = Vec::new();
    for online in smp::all() {
        let poll = |_: &Expiry<'_>| machine_check::poll();
        let mut timer = Timer::on(online.cpu.id(), "machine checks", Mode::Deferred, poll)?;
        timer.every(period)?;
        timers.push(timer);
    }
    *POLLING.lock() = (period, timers);
    Ok(())
}

/// Stops the polling. Returns its period in nanoseconds, if it was active.
///
/// Context: thread.
pub fn stop() -> Option<u64> {
    let (period, timers) = mem::take(&mut *POLLING.lock());
    drop(timers);
    (period > 0).then_some(period)
}

/// The period of the polling, in nanoseconds; `None` if there is no polling. Context: any but NMI.
#[must_use]
pub fn period() -> Option<u64> {
    let period = POLLING.lock().0;
    (period > 0).then_some(period)
}
