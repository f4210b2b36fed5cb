//! Shootdowns of all CPUs at once. Each CPU maps and unmaps pages of its own, with interrupts
//! enabled and disabled, and reads those of the others.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering, fence};

use serde::Serialize;
use spin::Once;
use tocsin_logic::layout::MAPPINGS;

use crate::command::CommandError;
use tocsin::ipi::jobs;
use tocsin::memory::frames::{self, FRAME};
use tocsin::memory::paging::Use;
use tocsin::memory::tlb::PAGE_LIMIT;
use tocsin::memory::{MemoryError, mapping};
use tocsin::sync::without_interrupts;
use tocsin::trap::fixup;
use tocsin::{cpu, smp};

/// The number of shootdowns of each CPU.
fn rounds() -> u64 {
    (100 / smp::all().len().max(1) as u64).clamp(1, 30)
}

/// The number of pages in each round, in turn. The last is more than are invalidated one by one.
const PAGES: [u64; 3] = [1, PAGE_LIMIT, PAGE_LIMIT + 1];

/// The pages of a CPU.
#[derive(Debug)]
struct Owner {
    number: u32,
    first: u64,
    /// The frame to which all pages are mapped.
    frame: u64,
    /// Twice the number of changes that have ended, plus 1 during a change. The pages are mapped
    /// after every second change.
    state: AtomicU64,
    /// The number of times that other CPUs have read the pages.
    reads: AtomicU64,
}

/// The owners, in the order of the CPUs.
static OWNERS: Once<Vec<Owner>> = Once::new();

/// The number of CPUs that have done all their shootdowns.
static FINISHED: AtomicU64 = AtomicU64::new(0);

static SHOOTDOWNS: AtomicU64 = AtomicU64::new(0);
static MAPPED: AtomicU64 = AtomicU64::new(0);
static STALE: AtomicU64 = AtomicU64::new(0);

/// The result of the test.
#[derive(Serialize)]
pub(super) struct Outcome {
    shootdowns: u64,
    /// The number of reads of mapped pages, which load the translations into the TLBs.
    mapped: u64,
    /// The number of reads of pages after their shootdown that used the old translations.
    pub(super) stale: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            shootdowns,
            mapped,
            stale,
        } = self;
        write!(
            f,
            "  {shootdowns} concurrent shootdowns: {mapped} reads of mapped pages, {stale} of stale ones"
        )
    }
}

/// Runs the test. The caller runs in a thread of the monitor.
pub(super) fn run() -> Result<Outcome, CommandError> {
    let failed = |error: MemoryError| CommandError::Failed(alloc::format!("{error}"));
    OWNERS.try_call_once(owners).map_err(failed)?;
    for counter in [&FINISHED, &SHOOTDOWNS, &MAPPED, &STALE] {
        counter.store(0, Ordering::Relaxed);
    }
    jobs::run_on_all(take_part).map_err(CommandError::Cpu)?;
    Ok(Outcome {
        shootdowns: SHOOTDOWNS.load(Ordering::Relaxed),
        mapped: MAPPED.load(Ordering::Relaxed),
        stale: STALE.load(Ordering::Relaxed),
    })
}

fn owners() -> Result<Vec<Owner>, MemoryError> {
    let owner = |(index, online): (usize, &smp::Online)| {
        Ok(Owner {
            number: online.cpu.id(),
            // Each in a page table with those of other CPUs.
            first: MAPPINGS + index as u64 * (PAGE_LIMIT + 1) * FRAME,
            frame: frames::allocate_zeroed_page()?,
            state: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        })
    };
    smp::all().iter().enumerate().map(owner).collect()
}

/// The job of each CPU.
fn take_part(_: u64) {
    let own = cpu::current().id();
    let owners = OWNERS.get().expect("`run` has created them");
    let owner = owners.iter().find(|it| it.number == own);
    let owner = owner.expect("all CPUs that are online have pages");
    for round in 0..rounds() {
        let pages = PAGES[(round % 3) as usize];
        owner.change(|| owner.map(pages));
        owner.wait_for_readers(owners);
        owner.change(|| {
            if round % 2 == 0 {
                without_interrupts(|| owner.unmap(pages));
            } else {
                owner.unmap(pages);
            }
        });
        SHOOTDOWNS.fetch_add(1, Ordering::Relaxed);
        owner.wait_for_readers(owners);
    }
    FINISHED.fetch_add(1, Ordering::Relaxed);
    while FINISHED.load(Ordering::Relaxed) < owners.len() as u64 {
        owner.check_others(owners);
    }
}

impl Owner {
    fn change(&self, change: impl FnOnce()) {
        self.state.fetch_add(1, Ordering::SeqCst);
        change();
        self.state.fetch_add(1, Ordering::SeqCst);
    }

    fn map(&self, pages: u64) {
        for page in (self.first..).step_by(FRAME as usize).take(pages as usize) {
            // SAFETY: The frame is memory of this test, which only reads it.
            let mapped = unsafe { mapping::map(page..page + FRAME, self.frame, Use::Constant) };
            mapped.expect("the pages are free, and their page tables remain");
        }
    }

    fn unmap(&self, pages: u64) {
        // SAFETY: Only this test uses the pages, and it expects the change.
        let unmapped = unsafe { mapping::unmap(self.first..self.first + pages * FRAME) };
        unmapped.expect("the pages are mapped");
    }

    /// Reads the pages of the other CPUs until one of them has read this CPU's.
    fn wait_for_readers(&self, owners: &[Self]) {
        let before = self.reads.load(Ordering::Relaxed);
        while owners.len() > 1 && self.reads.load(Ordering::Relaxed) == before {
            self.check_others(owners);
        }
    }

    fn check_others(&self, owners: &[Self]) {
        for other in owners.iter().filter(|it| it.number != self.number) {
            other.check();
        }
        core::hint::spin_loop();
    }

    /// Reads the first and the last page, and counts the result unless they have changed meanwhile.
    fn check(&self) {
        let before = self.state.load(Ordering::SeqCst);
        if !before.is_multiple_of(2) {
            return;
        }
        // Two changes each round. Between the rounds, the pages are those of the last one.
        let pages = PAGES[(before.saturating_sub(2) / 4 % rounds() % 3) as usize];
        for page in [0, pages - 1] {
            // SAFETY: The page is mapped to the frame of this test or not at all.
            let is_mapped = unsafe { fixup::read(self.first + page * FRAME) }.is_some();
            fence(Ordering::SeqCst);
            if self.state.load(Ordering::SeqCst) != before {
                return;
            }
            let is_expected = before % 4 == 2;
            if is_mapped && is_expected {
                MAPPED.fetch_add(1, Ordering::Relaxed);
            }
            if is_mapped && !is_expected {
                STALE.fetch_add(1, Ordering::Relaxed);
            }
        }
        self.reads.fetch_add(1, Ordering::Relaxed);
    }
}
