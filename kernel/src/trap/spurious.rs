//! Spurious and unhandled interrupt counts, and the check before an EOI.
//!
//! An EOI ends the interrupt in service with the highest priority (SDM vol. 3A, 12.8.5). If a gate
//! is entered by something other than the local APIC, such as an INT instruction, an EOI would end
//! another interrupt, whose handler still runs. So the entry code checks the local APIC's ISR
//! before the EOI of a vector without a handler, and in a debug build before every EOI. Conversely,
//! the vectors that take no EOI are ended if they are in service nevertheless: otherwise they would
//! mask all interrupts of their class and below forever.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Once;
use tocsin_logic::vector::Vector;

use super::stack_use;
use crate::cpu::handlers::INTERRUPTS;
use crate::cpu_local::current;

/// The functions of the local APIC driver, on which this module must not depend.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IsrAccess {
    /// The vector with the highest priority of those in service on this CPU.
    pub(crate) highest: fn() -> Option<Vector>,
    /// Ends this interrupt.
    pub(crate) end: fn(),
}

static ISR_ACCESS: Once<IsrAccess> = Once::new();

/// Sets the functions. Before this, the ISR is not checked. Called once.
pub(crate) fn set_isr_access(access: IsrAccess) {
    ISR_ACCESS.call_once(|| access);
}

/// Number of kinds of errors that a local APIC reports: the bits of its ESR.
pub const ERRORS: usize = 8;

/// The spurious and unhandled interrupt counters of a CPU.
#[derive(Debug)]
pub struct Counters {
    /// Interrupts withdrawn before their delivery.
    spurious: AtomicU64,
    /// Gates entered by something other than the interrupt in service, whose EOI was omitted.
    eoi_mismatch: AtomicU64,
    /// Interrupts on vectors without a handler.
    unhandled: AtomicU64,
    /// Errors of the local APIC, by their bits in the ESR.
    errors: [AtomicU64; ERRORS],
}

/// Spurious and unhandled interrupt counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Interrupts withdrawn before their delivery.
    pub spurious: u64,
    /// Gates entered by something other than the interrupt in service, whose EOI was omitted.
    pub eoi_mismatch: u64,
    /// Interrupts on vectors without a handler that were in service.
    pub unhandled: u64,
    /// Errors of the local APIC, by their bits in the ESR.
    pub errors: [u64; ERRORS],
}

impl Counters {
    const fn new() -> Self {
        Self {
            spurious: AtomicU64::new(0),
            eoi_mismatch: AtomicU64::new(0),
            unhandled: AtomicU64::new(0),
            errors: [const { AtomicU64::new(0) }; ERRORS],
        }
    }

    /// The counts of this CPU.
    ///
    /// Context: any.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            spurious: get(&self.spurious),
            eoi_mismatch: get(&self.eoi_mismatch),
            unhandled: get(&self.unhandled),
            errors: self.errors.each_ref().map(get),
        }
    }

    /// Counts a spurious interrupt, which was withdrawn before its delivery.
    pub(crate) fn count_spurious(&self) {
        self.spurious.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the errors whose bits are set in the ESR.
    pub(crate) fn count_errors(&self, status: u32) {
        for (bit, counter) in self.errors.iter().enumerate() {
            if status & 1 << bit != 0 {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

crate::cpu_local! {
    /// The spurious and unhandled interrupt counters of each CPU.
    pub static SPURIOUS: Counters = Counters::new();
}

/// Whether an omitted EOI has been logged.
static LOGGED: AtomicBool = AtomicBool::new(false);

/// Whether the interrupt that has been handled on `vector` is the one that an EOI would end. If
/// not, this is counted, and the first case is logged. Called by the entry code before an EOI.
pub(crate) extern "C" fn needs_eoi(vector: u8) -> bool {
    if cfg!(debug_assertions) {
        stack_use::check(current());
    }
    let Some(access) = ISR_ACCESS.get() else {
        return true;
    };
    let highest = (access.highest)();
    if highest == Some(Vector(vector)) {
        return true;
    }
    SPURIOUS.here().eoi_mismatch.fetch_add(1, Ordering::Relaxed);
    if !LOGGED.swap(true, Ordering::Relaxed) {
        match highest {
            Some(other) => log::warn!(
                "interrupt: vector {vector:#04x}: not in service, but {:#04x} is (no EOI sent; further cases are \
                 only counted)",
                other.get()
            ),
            None => log::warn!(
                "interrupt: vector {vector:#04x}: not in service, nor is another (no EOI sent; further cases are \
                 only counted)"
            ),
        }
    }
    false
}

/// Handles an interrupt on a vector without a handler. Returns whether it must be ended by an EOI.
/// Called by the entry code.
pub(crate) extern "C" fn handle_unhandled(_: usize, vector: u8) -> bool {
    let in_service = needs_eoi(vector);
    if in_service {
        SPURIOUS.here().unhandled.fetch_add(1, Ordering::Relaxed);
    }
    log_unhandled(vector);
    in_service
}

/// Logs an unhandled interrupt, only once for each vector and CPU; the counters have the rest.
pub(crate) fn log_unhandled(vector: u8) {
    if INTERRUPTS.here().count(vector) == 1 {
        log::warn!("interrupt: vector {vector}: no handler (later ones are only counted)");
    }
}

/// Ends the interrupt on `vector`, which normally takes no EOI, if it is in service, because it was
/// delivered by the local APIC. Returns whether it was in service.
pub(crate) fn end_if_in_service(vector: u8) -> bool {
    let Some(access) = ISR_ACCESS.get() else {
        return false;
    };
    let in_service = (access.highest)() == Some(Vector(vector));
    if in_service {
        SPURIOUS.here().unhandled.fetch_add(1, Ordering::Relaxed);
        log_unhandled(vector);
        (access.end)();
    }
    in_service
}
