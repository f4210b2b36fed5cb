//! The execution context of the running code, and the check that rejects operations above their
//! limit; see [`tocsin_logic::irq::context`] for the rules.
//!
//! The check is part of every build: it reads RFLAGS, CR8 and the per-CPU block, but not the local
//! APIC.

use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::irq::context::{self, Context, Level, Limit, WAIT_CLASS};
use tocsin_logic::vector::PriorityClass;
use x86_64::instructions::interrupts;

use super::handlers::INTERRUPTS;
use crate::cpu_local::{self, PerCpu};
use crate::hw::control;
use crate::sync::LOCAL;

/// The value of [`SERVES_AT`] outside a called function.
pub(crate) const NOT_SERVING: u32 = u32::MAX;

crate::cpu_local! {
    /// The nesting depth at which the CPU runs a called function outside the call interrupt, or
    /// [`NOT_SERVING`]; see `ipi::wait`.
    pub(crate) static SERVES_AT: AtomicU32 = AtomicU32::new(NOT_SERVING);
}

/// Whether an NMI handler is active on this CPU.
///
/// Context: any.
#[inline]
#[must_use]
pub fn in_nmi(cpu: PerCpu) -> bool {
    LOCAL.of(cpu).in_nmi()
}

/// The context of the running code.
///
/// Context: any.
#[inline]
#[must_use]
pub fn current() -> Context {
    let cpu = cpu_local::current();
    let (interrupts, locks) = (INTERRUPTS.of(cpu), LOCAL.of(cpu));
    Context {
        in_nmi: locks.in_nmi(),
        interrupts_enabled: interrupts::are_enabled(),
        cr8: control::priority_class(),
        in_service: interrupts.innermost(),
        is_serving: SERVES_AT.of(cpu).load(Ordering::Relaxed) == interrupts.depth(),
        irq_locks: locks.held(),
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
pub fn require(operation: &'static str, limit: Level) {
    require_limit(operation, limit.into());
}

/// Rejects `operation` in NMI handlers and above `class`. IF makes no difference.
///
/// Context: any.
///
/// # Panics
///
/// As [`require`].
#[inline]
#[track_caller]
pub(crate) fn require_class(operation: &'static str, class: PriorityClass) {
    require_limit(operation, Limit::Class(class));
}

/// Rejects `operation` of the calling CPU, which waits for another CPU, if that CPU could wait for
/// this one: see
/// [`Limit::Wait`].
///
/// Context: any.
///
/// # Panics
///
/// As [`require`].
#[inline]
#[track_caller]
pub(crate) fn require_wait(cpu: PerCpu, operation: &'static str) {
    let locks = LOCAL.of(cpu);
    // The common case is a plain thread. A CPU that runs a called function outside the call
    // interrupt has CR8 at the class of calls.
    let is_plain = !INTERRUPTS.of(cpu).is_in_handler()
        && !locks.in_nmi()
        && locks.held() == 0
        && control::priority_class() <= WAIT_CLASS;
    if !is_plain {
        require_special(operation);
    }
}

/// As [`require_wait`], for contexts other than a plain thread.
#[cold]
#[inline(never)]
#[track_caller]
fn require_special(operation: &'static str) {
    require_limit(operation, Limit::Wait);
}

/// Rejects `operation` beyond `limit`.
///
/// Context: any.
///
/// # Panics
///
/// As [`require`].
#[inline]
#[track_caller]
pub(crate) fn require_limit(operation: &'static str, limit: Limit) {
    require_in(operation, limit, current());
}

/// As [`require_limit`], for a given context.
#[inline]
#[track_caller]
pub(crate) fn require_in(operation: &'static str, limit: Limit, context: Context) {
    if let Err(violation) = context::check(operation, limit, context) {
        reject(violation);
    }
}

#[cold]
#[track_caller]
#[inline(never)]
fn reject(violation: context::Violation) -> ! {
    panic!("{violation}")
}
