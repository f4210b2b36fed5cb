//! Making other CPUs forget translations ("TLB shootdown"), by calling them.
//!
//! Whoever changes the kernel's tables through [`crate::memory::mapping`] need not call this; who has
//! tables of its own must, between the change of an entry and the moment when the memory behind it
//! gets another use.

use crate::ipi::{Offline, Targets, call};
use crate::memory::tlb;

pub use crate::memory::tlb::{PAGE_LIMIT, Translations};

/// Lets the memory below reach all CPUs. Once, before there are others.
pub(crate) fn set_up() {
    tlb::EVERYWHERE.replace(Some(forget_everywhere));
}

/// Makes CPUs forget translations, and returns when none of them can use them any more. Ranges of up to
/// [`PAGE_LIMIT`] pages are forgotten page by page, larger ones with everything else.
///
/// The calling CPU forgets them too, if it is among the targets.
///
/// Context: thread or handler up to class 12; as [`call::and_wait`].
///
/// # Errors
///
/// [`Offline`], if one of the CPUs is not online. Nobody has forgotten anything then.
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
