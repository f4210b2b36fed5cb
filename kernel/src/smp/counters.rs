//! The time-stamp counters of the APs. Deadlines and the watchdog compare times of two CPUs, so their
//! counters must agree with the boot CPU's.
//!
//! Processors start them together. Firmware can shift one by `IA32_TSC_ADJUST`, and that is taken back; a
//! processor that was plugged in later has its own start, which nothing here can mend, but tell.

use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::smp::Skew;
use tocsin_logic::units::Nanoseconds;

use super::Online;
use crate::cpu;
use crate::hw::control::{Features, read_msr, write_msr};
use crate::hw::processor::timestamp;
use crate::time::cycles_to_nanoseconds;

/// What is added to a counter (SDM vol. 3B, 19.17.3).
const IA32_TSC_ADJUST: u32 = 0x3b;

/// The boot CPU's adjustment.
static ADJUSTMENT: AtomicU64 = AtomicU64::new(0);

/// The register's value, on processors that have it.
fn adjustment() -> Option<u64> {
    let has_register = Features::get().contains(Features::TSC_ADJUST);
    // SAFETY: 1. CPUID reports the register.
    has_register.then(|| unsafe { read_msr(IA32_TSC_ADJUST) })
}

/// Notes the boot CPU's adjustment, for the others.
pub(super) fn note_own() {
    ADJUSTMENT.store(adjustment().unwrap_or(0), Ordering::Relaxed);
}

/// Gives this AP's counter the boot CPU's adjustment, and notes what it shows then.
pub(super) fn agree() {
    let wanted = ADJUSTMENT.load(Ordering::Relaxed);
    if adjustment().is_some_and(|own| own != wanted) {
        // SAFETY: 1. CPUID reports the register. 2. Nothing on this CPU has looked at the counter yet.
        unsafe { write_msr(IA32_TSC_ADJUST, wanted) };
    }
    cpu::current()
        .ready_at
        .store(timestamp(), Ordering::Relaxed);
}

/// Tells of the APs whose counters showed, when they were ready, what the boot CPU's did not show between
/// `begin` and `end`.
pub(super) fn check(aps: &[Online], begin: u64, end: u64) {
    for cpu in aps.iter().map(|ap| ap.cpu) {
        let shown = cpu.ready_at.load(Ordering::Relaxed);
        let Some(skew) = Skew::of(shown, begin..=end) else {
            continue;
        };
        let (cycles, side) = match skew {
            Skew::Behind(cycles) => (cycles, "behind"),
            Skew::Ahead(cycles) => (cycles, "ahead of"),
        };
        log::error!(
            "smp: the time-stamp counter of CPU {} is {} or more {side} the boot CPU's: its timers and \
             its watchdog are off by that",
            cpu.id(),
            Nanoseconds(cycles_to_nanoseconds(cycles))
        );
    }
}
