//! TLB flushes on this CPU and on all CPUs.
//!
//! A CPU may use a cached translation until it is flushed, even if the page tables have changed
//! (SDM vol. 3A, 5.10.4). Flushing the TLBs of other CPUs requires interrupts, on which this module
//! must not depend: `ipi::tlb` registers the function for it.

use crate::fn_cell::{FnCell, FnPointer};
use core::ops::Range;

use tocsin_logic::irq::shootdown::{self, Acknowledged, Invalidate, LIMIT, Requests};
use x86_64::VirtAddr;
use x86_64::instructions::tlb;
use x86_64::registers::control::{Cr4, Cr4Flags};

/// Maximum number of pages flushed individually. Other CPUs flush them with interrupts disabled, so
/// the number is small.
pub const PAGE_LIMIT: u64 = LIMIT as u64;

/// The requests of all CPUs to others. `ipi::request` posts them, and the entry code serves them.
pub(crate) static REQUESTS: Requests = Requests::new();

crate::cpu_local! {
    /// The number up to which each CPU has served requests.
    pub(crate) static ACKNOWLEDGED: Acknowledged = Acknowledged::new();
}

/// Serves the requests to this CPU, if there are any. Interrupts disabled.
pub(crate) fn serve_requests() {
    let own = ACKNOWLEDGED.here();
    if REQUESTS.has_pending(own) {
        REQUESTS.serve(own, invalidate);
    }
}

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
    pub fn flush_local(&self) {
        if let Some(range) = self.range() {
            range.each(invalidate);
        }
    }

    /// The range of a request for the same to other CPUs; `None` if there are no addresses.
    #[inline]
    pub(crate) fn range(&self) -> Option<shootdown::Range> {
        match self {
            Self::Of(addresses) => {
                shootdown::Range::pages(addresses.start as usize, addresses.end as usize)
            }
            Self::All => Some(shootdown::Range::ALL),
        }
    }
}

/// Flushes translations on this CPU.
fn invalidate(what: Invalidate) {
    match what {
        // Also drops global entries, and all entries of a large page.
        Invalidate::Page(address) => tlb::flush(VirtAddr::new_truncate(address as u64)),
        Invalidate::All => flush_all(),
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
pub type FlushAllCpus = fn(&Translations);

// SAFETY: The value is a function pointer.
unsafe impl FnPointer for FlushAllCpus {}

/// Set when the other CPUs can be interrupted.
pub(crate) static FLUSH_ALL_CPUS: FnCell<FlushAllCpus> = FnCell::empty();

/// Flushes translations on all CPUs. Code that removes a mapping, or some of its rights, must call
/// this after the tables have changed, without holding a lock for which another CPU may wait with
/// interrupts disabled.
pub(super) fn flush_all_cpus(what: &Translations) {
    match FLUSH_ALL_CPUS.get() {
        Some(how) => how(what),
        // No other CPU is running yet. APs flush their TLBs when they start.
        None => what.flush_local(),
    }
}
