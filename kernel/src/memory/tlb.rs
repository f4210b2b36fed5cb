//! Forgetting translations that a processor has cached: on this CPU, and on all.
//!
//! A processor may use a translation that it has cached until it is told to forget it, whatever the
//! tables say meanwhile (SDM vol. 3A, 5.10.4). Telling the other CPUs takes interrupts, which this
//! module is not to know: `ipi::tlb` registers the function that does it.

use crate::fn_cell::{FnCell, FnPointer};
use core::ops::Range;

use x86_64::VirtAddr;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr4, Cr4Flags};

use super::frames::FRAME;

/// Most pages that are forgotten one by one. Above, forgetting everything costs less than so many
/// INVLPG, and the entries that are lost with it come back soon.
pub const PAGE_LIMIT: u64 = 32;

/// Which translations are to be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Translations {
    /// Those of the pages that these addresses are in.
    Of(Range<u64>),
    /// All, global ones too.
    All,
}

impl Translations {
    /// Flushes them from this CPU's TLB.
    ///
    /// Context: any.
    pub fn forget_here(&self) {
        match self {
            Self::Of(addresses) => forget_range_here(addresses),
            Self::All => flush_all(),
        }
    }
}

/// Forgets the translations of a range on this CPU, one by one or, where there are many, all.
fn forget_range_here(addresses: &Range<u64>) {
    if addresses.is_empty() {
        return;
    }
    let first = addresses.start & !(FRAME - 1);
    if addresses.end - first > PAGE_LIMIT * FRAME {
        return flush_all();
    }
    for page in (first..addresses.end).step_by(FRAME as usize) {
        // Drops global entries, too, and all of a large page.
        tlb::flush(VirtAddr::new_truncate(page));
    }
}

/// Forgets all translations that this CPU has cached, global ones too. Any context.
pub(crate) fn flush_all() {
    let cr4 = Cr4::read();
    // A change of PGE is what drops global entries (SDM vol. 3A, 5.10.4.1).
    // SAFETY: 1. Without PGE, global pages are just pages.
    unsafe { Cr4::write(cr4 & !Cr4Flags::PAGE_GLOBAL) };
    tlb::flush_all();
    // SAFETY: 1. As it was.
    unsafe { Cr4::write(cr4) };
}

/// Forgets translations on all CPUs that are online and returns when none can use them any more.
pub type ForgetEverywhere = fn(&Translations);

// SAFETY: It is a function pointer.
unsafe impl FnPointer for ForgetEverywhere {}

/// Set when the CPUs can be interrupted.
pub(crate) static EVERYWHERE: FnCell<ForgetEverywhere> = FnCell::empty();

/// Forgets translations on all CPUs. Who takes a mapping away, or some of its rights, calls this when the
/// tables have changed, with no lock held that another CPU may want with its interrupts off.
pub(super) fn forget_everywhere(what: &Translations) {
    match EVERYWHERE.get() {
        Some(how) => how(what),
        // No other CPU runs yet. Those that start later flush when they do.
        None => what.forget_here(),
    }
}
