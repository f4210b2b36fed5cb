//! A reproducible initial state for benchmarks that depend on when the emulator schedules each CPU.
//!
//! Where instructions are counted, QEMU runs all CPUs in one thread. It switches to the next CPU at
//! PAUSE and HLT, and whenever one of its timers is due. The guest's own timers are the same in
//! every run, but QEMU has three more: the PIT, which firmware leaves running and masked; a timer
//! that switches CPUs 100 ms after all CPUs were last halted; and the RTC's first second. The guest
//! time until they are due depends on how fast the other end of the serial port reads its bytes.

use core::sync::atomic::{AtomicBool, Ordering};

use x86_64::instructions::interrupts;

use super::clock::pauses;
use tocsin::devices::pit::Pit;
use tocsin::hw::processor;
use tocsin::time;
use tocsin::timer::{Expiry, Mode, Timer};

/// The end of the RTC's first second, in nanoseconds since the kernel started. After that, the RTC
/// sets no timer unless software requests one.
const RTC_SETUP_END: u64 = 1_500_000_000;

/// The minimum time for which all CPUs halt, in nanoseconds.
const SLEEP: u64 = 200_000;

/// Whether the halt is over.
static WOKEN: AtomicBool = AtomicBool::new(false);

/// Stops the PIT, where instructions are counted.
pub(super) fn stop_pit() {
    if pauses() {
        // A claim resets the running PIT, which stays stopped after the drop. If a driver owns the
        // PIT, the claim fails, and the PIT keeps running.
        drop(Pit::claim());
    }
}

/// Halts all CPUs for a short time, where instructions are counted. The caller runs in a thread,
/// and the other CPUs are idle.
pub(super) fn quiesce() {
    if !pauses() {
        return;
    }
    WOKEN.store(false, Ordering::Relaxed);
    let wake = |_: &Expiry<'_>| WOKEN.store(true, Ordering::Relaxed);
    let Ok(mut timer) = Timer::new("bench quiesce", Mode::Interrupt, wake) else {
        return;
    };
    let until = (time::nanoseconds() + SLEEP).max(RTC_SETUP_END);
    // Cannot fail: it is a timer of this CPU.
    let _ = timer.at(until);
    loop {
        interrupts::disable();
        if WOKEN.load(Ordering::Relaxed) {
            return interrupts::enable();
        }
        processor::enable_and_halt();
    }
}
