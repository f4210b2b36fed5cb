//! The same beginning for what depends on when the emulator lets each CPU run.
//!
//! Where instructions are counted, QEMU runs all CPUs in one thread. It takes a CPU's turn away at PAUSE
//! and HLT, and whenever one of its timers is due. The guest's own timers are the same in every run.
//! But there are three more: the PIT, which firmware leaves ticking, masked; one that changes the turn
//! 100 ms after all CPUs have last slept; and the RTC's first second. How much guest time has passed until
//! then depends on how fast the other end of the serial port takes its bytes.

use core::sync::atomic::{AtomicBool, Ordering};

use x86_64::instructions::interrupts;

use super::clock::pauses;
use tocsin::devices::pit::Pit;
use tocsin::hw::processor;
use tocsin::time;
use tocsin::timer::{Expiry, Mode, Timer};

/// When the RTC's first second is over, in nanoseconds since the kernel began. From then on it sets no
/// timer that nobody asks for.
const AFTER_THE_RTC: u64 = 1_500_000_000;

/// How long all CPUs sleep at least, in nanoseconds.
const SLEEP: u64 = 200_000;

/// Whether the sleep is over.
static SLEPT: AtomicBool = AtomicBool::new(false);

/// Stops the PIT's ticks, where instructions are counted.
pub(super) fn silence() {
    if pauses() {
        // Who claims it finds it ticking, and leaves it silent. A driver that has it wants it.
        drop(Pit::claim());
    }
}

/// Lets all CPUs sleep for a moment, where instructions are counted. In a thread, when the others have
/// nothing to do.
pub(super) fn settle() {
    if !pauses() {
        return;
    }
    SLEPT.store(false, Ordering::Relaxed);
    let wake = |_: &Expiry<'_>| SLEPT.store(true, Ordering::Relaxed);
    let Ok(mut timer) = Timer::new("bench settles", Mode::Interrupt, wake) else {
        return;
    };
    let until = (time::nanoseconds() + SLEEP).max(AFTER_THE_RTC);
    // A timer of this CPU is not refused.
    let _ = timer.at(until);
    loop {
        interrupts::disable();
        if SLEPT.load(Ordering::Relaxed) {
            return interrupts::enable();
        }
        processor::enable_and_halt();
    }
}
