//! TLB flushes on this CPU and on all CPUs.
//!
//! A CPU may use a cached translation until it is flushed, even if the page tables have changed
//! (SDM vol. 3A, 5.10.4). Flushing the TLBs of other CPUs requires interrupts, on which this module
//! must not depend: `ipi::tlb` registers the function for it.

use crate::fn_cell::{FnCell, FnPointer};
use core::ops::Range;

use x86_64::VirtAddr;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr4, Cr4Flags};

use super::frames::FRAME;

/// Maximum number of pages flushed individually. Above it, a full flush costs less than the
/// INVLPGs, and the other entries that it drops are soon cached again.
pub const PAGE_LIMIT: u64 = 32;

/// The translations to flush.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Translations {
    /// Those of the pages that contain these addresses.
    Of(Range<u64>),
    /// All, including global ones.
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

/// Flushes the translations of a range on this CPU: page by page or, for many pages, all.
fn forget_range_here(addresses: &Range<u64>) {
    if addresses.is_empty() {
        return;
    }
    let first = addresses.start & !(FRAME - 1);
    if addresses.end - first > PAGE_LIMIT * FRAME {
        return flush_all();
    }
    for page in (first..addresses.end).step_by(FRAME as usize) {
        // Also drops global entries, and all entries of a large page.
        tlb::flush(VirtAddr::new_truncate(page));
    }
}

/// Flushes all translations on this CPU, including global ones. Any context.
pub(crate) fn flush_all() {
    let cr4 = Cr4::read();
    // A change of CR4.PGE flushes global entries (SDM vol. 3A, 5.10.4.1).
    // SAFETY: Without PGE, pages are not global, which is always valid.
    unsafe { Cr4::write(cr4 & !Cr4Flags::PAGE_GLOBAL) };
    tlb::flush_all();
    // SAFETY: The original value is restored.
    unsafe { Cr4::write(cr4) };
}

/// Flushes translations on all online CPUs and returns when no CPU can use them any more.
pub type ForgetEverywhere = fn(&Translations);

// SAFETY: The value is a function pointer.
unsafe impl FnPointer for ForgetEverywhere {}

/// Set when the other CPUs can be interrupted.
pub(crate) static EVERYWHERE: FnCell<ForgetEverywhere> = FnCell::empty();

/// Flushes translations on all CPUs. Code that removes a mapping, or some of its rights, must call
/// this after the tables have changed, without holding a lock for which another CPU may wait with
/// interrupts disabled.
pub(super) fn forget_everywhere(what: &Translations) {
    match EVERYWHERE.get() {
        Some(how) => how(what),
        // No other CPU is running yet. APs flush their TLBs when they start.
        None => what.forget_here(),
    }
}
