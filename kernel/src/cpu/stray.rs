//! Interrupts that nobody sent or nobody answers, counted; and which of them take no EOI.
//!
//! An EOI ends whatever interrupt in service has the highest priority (SDM vol. 3A, 12.8.5). Written
//! on the way back from a gate that something else than the local APIC has entered, such as an INT
//! instruction, it would end another one, whose handler still runs. So before the EOI of a vector
//! without a handler, the local APIC is asked what is in service, and in a debug build before every
//! EOI. The other way round, the vectors that take no EOI are ended if they are in service after
//! all: else they would hold back everything for ever.

use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use spin::Once;
use tocsin_logic::vector::Vector;

use super::{interrupt_stack, percpu};

/// What the local APIC, which is right of this module, is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Service {
    /// The vector with the highest priority of those in service on this CPU.
    pub(crate) highest: fn() -> Option<Vector>,
    /// Ends it.
    pub(crate) end: fn(),
}

static SERVICE: Once<Service> = Once::new();

/// Tells how to learn what is in service. Until then, nothing is looked at. Once.
pub(crate) fn set_service(service: Service) {
    SERVICE.call_once(|| service);
}

/// Kinds of error that a local APIC reports: the bits of its ESR.
pub const ERRORS: usize = 8;

/// What has come to a CPU uncalled.
#[derive(Debug)]
pub struct Strays {
    /// Interrupts that went away before they were delivered.
    spurious: AtomicU64,
    /// Gates entered by something else than the interrupt in service, whose EOI was left out.
    eoi_mismatch: AtomicU64,
    /// Interrupts on vectors without a handler.
    unhandled: AtomicU64,
    /// Errors of the local APIC, by their bits in the ESR.
    errors: [AtomicU64; ERRORS],
}

/// How many strays there have been.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Interrupts that went away before they were delivered.
    pub spurious: u64,
    /// Gates entered by something else than the interrupt in service, whose EOI was left out.
    pub eoi_mismatch: u64,
    /// Interrupts on vectors without a handler, of those in service.
    pub unhandled: u64,
    /// Errors of the local APIC, by their bits in the ESR.
    pub errors: [u64; ERRORS],
}

impl Strays {
    pub(super) const fn new() -> Self {
        Self {
            spurious: AtomicU64::new(0),
            eoi_mismatch: AtomicU64::new(0),
            unhandled: AtomicU64::new(0),
            errors: [const { AtomicU64::new(0) }; ERRORS],
        }
    }

    /// The number of interrupts counted.
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

    /// Counts an interrupt that went away before it was delivered.
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

/// Whether an EOI that was left out has been logged.
static LOGGED: AtomicBool = AtomicBool::new(false);

/// Whether the interrupt that has been answered on `vector` is the one that an EOI would end. If not,
/// it is counted, and the first is logged. Called by the entry code before an EOI.
pub(super) extern "C" fn is_to_be_ended(vector: u8) -> bool {
    if cfg!(debug_assertions) {
        interrupt_stack::check(percpu::current());
    }
    let Some(service) = SERVICE.get() else {
        return true;
    };
    let highest = (service.highest)();
    if highest == Some(Vector(vector)) {
        return true;
    }
    percpu::current()
        .strays
        .eoi_mismatch
        .fetch_add(1, Ordering::Relaxed);
    if !LOGGED.swap(true, Ordering::Relaxed) {
        match highest {
            Some(other) => log::warn!(
                "vector {vector:#04x} is to be ended, but {:#04x} is in service: no EOI; others will only be counted",
                other.get()
            ),
            None => log::warn!(
                "vector {vector:#04x} is to be ended, but nothing is in service: no EOI; others will only be counted"
            ),
        }
    }
    false
}

/// Answers what nobody has registered for. Returns whether it is to be ended by an EOI. Called by the
/// entry code.
pub(super) extern "C" fn answer_unhandled(_: usize, vector: u8) -> bool {
    let cpu = percpu::current();
    let in_service = is_to_be_ended(vector);
    if in_service {
        cpu.strays.unhandled.fetch_add(1, Ordering::Relaxed);
    }
    log_unhandled(vector);
    in_service
}

/// Once a vector and CPU is enough for the log; the counters have the rest.
pub(super) fn log_unhandled(vector: u8) {
    if percpu::current().interrupts.count(vector) == 1 {
        log::warn!("interrupt on vector {vector}, which has no handler");
    }
}

/// Ends the interrupt on `vector`, which takes no EOI as a rule, if it is in service nevertheless:
/// something has sent this vector. Returns whether it was.
pub(super) fn end_if_in_service(vector: u8) -> bool {
    let Some(service) = SERVICE.get() else {
        return false;
    };
    let in_service = (service.highest)() == Some(Vector(vector));
    if in_service {
        percpu::current()
            .strays
            .unhandled
            .fetch_add(1, Ordering::Relaxed);
        log_unhandled(vector);
        (service.end)();
    }
    in_service
}
