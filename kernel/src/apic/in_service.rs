//! The interrupts in service on a local APIC, and its two internal vectors: spurious interrupts and
//! errors.

use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use tocsin_logic::apic::Register;
use tocsin_logic::apic::register::Part;
use tocsin_logic::vector::Vector;

use super::{LocalApic, local, vectors};
use crate::cpu::handlers;
use crate::trap::spurious::{self, IsrAccess, SPURIOUS};

static ERRORS: AtomicU64 = AtomicU64::new(0);

/// The errors that have been logged, by their bits in the ESR.
static LOGGED: AtomicU32 = AtomicU32::new(0);

/// Whether an error interrupt without an error has been logged.
static EMPTY_LOGGED: AtomicBool = AtomicBool::new(false);

/// The number of error interrupts on all CPUs.
///
/// Context: any.
#[must_use]
pub fn error_interrupts() -> u64 {
    ERRORS.load(Ordering::Relaxed)
}

/// Registers the handlers of the internal vectors and the entry code's access to the ISR. Called
/// once.
pub(super) fn set_up() {
    handlers::register(vectors::SPURIOUS, handle_spurious);
    handlers::register(vectors::ERROR, handle_error);
    spurious::set_isr_access(IsrAccess {
        highest: || local().highest_in_service(),
        // SAFETY: the entry code calls this once, as its last step, for the interrupt that it has
        // entered.
        end: || unsafe { local().end_of_interrupt() },
    });
}

impl LocalApic {
    /// The vector with the highest priority of those in service on this CPU.
    ///
    /// Context: any.
    #[must_use]
    pub fn highest_in_service(&self) -> Option<Vector> {
        Part::ALL.into_iter().rev().find_map(|part| {
            let highest = self.read(Register::Isr(part)).checked_ilog2()?;
            // Eight parts of 32 vectors.
            Some(Vector(part.get() * 32 + highest as u8))
        })
    }
}

extern "C" fn handle_spurious(_: usize, _: u8) {
    SPURIOUS.here().count_spurious();
}

/// Each kind of error is logged once.
extern "C" fn handle_error(_: usize, _: u8) {
    let errors = local().take_errors();
    SPURIOUS.here().count_errors(errors.0);
    ERRORS.fetch_add(1, Ordering::Relaxed);
    if errors.0 == 0 {
        if !EMPTY_LOGGED.swap(true, Ordering::Relaxed) {
            log::warn!("apic: error interrupt: the ESR is empty (later ones are only counted)");
        }
    } else if errors.0 & !LOGGED.fetch_or(errors.0, Ordering::Relaxed) != 0 {
        log::warn!("apic: {errors} (later errors of these kinds are only counted)");
    }
}
