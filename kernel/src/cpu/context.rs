//! The execution context of the running code, and the check that rejects operations called above their
//! limit; see [`tocsin_logic::irq::context`] for the rules.
//!
//! The check is part of every build: it reads RFLAGS, CR8 and the per-CPU block, but not the local APIC.

use tocsin_logic::irq::context::{self, Context, Level};
use x86_64::instructions::interrupts;

use super::percpu;
use crate::hw::control;

/// The context of the running code.
///
/// Context: any.
#[inline]
#[must_use]
pub fn current() -> Context {
    let cpu = percpu::current();
    Context {
        in_nmi: cpu.nmi.is_handled(),
        interrupts_enabled: interrupts::are_enabled(),
        cr8: control::priority_class(),
        in_service: cpu.interrupts.innermost(),
    }
}

/// Rejects `operation`, unless the running code is at `limit` or below.
///
/// Context: any.
///
/// # Panics
///
/// If the running code is above the limit; the message names the rule.
#[inline]
#[track_caller]
pub(crate) fn require(operation: &'static str, limit: Level) {
    if let Err(violation) = context::check(operation, limit, current()) {
        reject(violation);
    }
}

#[cold]
#[track_caller]
#[inline(never)]
fn reject(violation: context::Violation) -> ! {
    panic!("{violation}")
}
