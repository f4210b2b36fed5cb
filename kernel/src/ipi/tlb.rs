//! TLB shootdown: invalidation of translations on other CPUs, by a call.
//!
//! Changes of the kernel's page tables through [`crate::memory::mapping`] do it implicitly. Code
//! with page tables of its own must call [`forget`] after it changes an entry and before the memory
//! behind the entry is reused.

use crate::ipi::{Offline, Targets, call};
use crate::memory::tlb;

pub use crate::memory::tlb::{PAGE_LIMIT, Translations};

/// Sets the function with which the memory layer invalidates translations on all CPUs. Called once,
/// before other CPUs run.
pub(crate) fn set_up() {
    tlb::EVERYWHERE.replace(Some(forget_everywhere));
}

/// Invalidates translations on CPUs, and returns when none of them can use them any more. Ranges of
/// up to [`PAGE_LIMIT`] pages are invalidated page by page, larger ones by a flush of the whole
/// TLB.
///
/// The calling CPU invalidates them too, if it is among the targets.
///
/// Context: thread or handler up to class 12; as [`call::and_wait`].
///
/// # Errors
///
/// [`Offline`], if one of the CPUs is not online. Then no CPU has invalidated anything.
///
/// # Panics
///
/// As [`call::and_wait`].
#[track_caller]
pub fn forget<'a>(what: &Translations, targets: impl Into<Targets<'a>>) -> Result<(), Offline> {
    call::run(targets, || what.forget_here())
}

fn forget_everywhere(what: &Translations) {
    forget(what, Targets::All).expect("all that are online are online");
}
