//! TLB shootdown: invalidation of translations on other CPUs.
//!
//! Changes of the kernel's page tables through [`crate::memory::mapping`] do it implicitly. Code
//! with page tables of its own must call [`flush`] after it changes an entry and before the memory
//! behind the entry is reused.

use super::{Offline, Targets, request};
use crate::memory::tlb;

pub use crate::memory::tlb::{PAGE_LIMIT, Translations};

/// Sets the function with which the memory layer invalidates translations on all CPUs. Called once,
/// before other CPUs run.
pub(crate) fn set_up() {
    tlb::FLUSH_ALL_CPUS.replace(Some(flush_all_cpus));
}

/// Invalidates translations on CPUs, and returns when none of them can use them any more. Ranges of
/// up to [`PAGE_LIMIT`] pages are invalidated page by page, larger ones by a flush of the whole
/// TLB.
///
/// The calling CPU invalidates them too, if it is among the targets.
///
/// Context: thread or handler up to class 12; as [`call::sync`](super::call::sync).
///
/// # Errors
///
/// [`Offline`], if one of the CPUs is not online. Then no CPU has invalidated anything.
///
/// # Panics
///
/// In another context; the message names the rule.
#[expect(clippy::inline_always, reason = "as `call_one` of `ipi::call`")]
#[inline(always)]
#[track_caller]
pub fn flush<'a>(what: &Translations, targets: impl Into<Targets<'a>>) -> Result<(), Offline> {
    let targets = targets.into();
    match what.range() {
        None => request::check(targets),
        range => request::send("tlb::flush", range, targets, || what.flush_local()),
    }
}

fn flush_all_cpus(what: &Translations) {
    flush(what, Targets::All).expect("all that are online are online");
}
