//! `tlb`: changes of mappings that all CPUs have in their TLBs.
//!
//! The test observes the kernel's own TLB shootdown. After the change of the page tables and before
//! the shootdown, each CPU checks which pages still have their old translations; after the
//! shootdown, it checks again. [`concurrent`] has shootdowns of all CPUs at once.

mod concurrent;

use alloc::format;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use tocsin_logic::layout::MAPPINGS;

use super::checks::Checks;
use crate::command::{Arguments, CommandError};
use tocsin::fn_cell::FnCell;
use tocsin::ipi::{Targets, call};
use tocsin::memory::frames::{self, FRAME};
use tocsin::memory::paging::Use;
use tocsin::memory::tlb::{FlushAllCpus, PAGE_LIMIT, Translations};
use tocsin::memory::{MemoryError, mapping};
use tocsin::trap::fixup;
use tocsin::{Machine, cancel, hooks};

/// The contents of the old frame.
const OLD: u64 = 0x0123_4567_89ab_cdef;

/// The contents of the new frame.
const NEW: u64 = !OLD;

/// The change of a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[repr(u64)]
#[serde(rename_all = "snake_case")]
enum Change {
    Absent,
    ReadOnly,
    AnotherFrame,
}

impl Change {
    const ALL: [Self; 3] = [Self::AnotherFrame, Self::ReadOnly, Self::Absent];

    const fn name(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::ReadOnly => "read-only",
            Self::AnotherFrame => "another frame",
        }
    }

    /// Returns whether the CPU that runs this function can use the page at `address` as before the
    /// change.
    fn is_stale(self, address: u64) -> bool {
        // SAFETY: The page is mapped to a frame of `run` or not at all.
        let read = || unsafe { fixup::read(address) };
        match self {
            Self::Absent => read().is_some(),
            // SAFETY: As above. All CPUs write the same value.
            Self::ReadOnly => unsafe { fixup::write(address, OLD) },
            Self::AnotherFrame => read() != Some(NEW),
        }
    }
}

/// The current change and number of pages, for the functions that run on other CPUs.
static CHANGE: AtomicU64 = AtomicU64::new(0);
static PAGES: AtomicU64 = AtomicU64::new(0);

/// The number of stale pages of all CPUs before the shootdown.
static STALE_BEFORE: AtomicU64 = AtomicU64::new(0);

/// The kernel's TLB shootdown.
static SHOOTDOWN: FnCell<FlushAllCpus> = FnCell::empty();

/// The result of a change.
#[derive(Serialize)]
struct Shootdown {
    change: Change,
    pages: u64,
    /// The number of stale pages of all CPUs before the shootdown, and after it.
    stale_before: u64,
    stale_after: u64,
    /// Whether the CPUs flushed their whole TLBs.
    full_flush: bool,
}

impl fmt::Display for Shootdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            change,
            pages,
            stale_before,
            stale_after,
            full_flush,
        } = self;
        write!(
            f,
            "  {:<13}  {pages:>7}  {stale_before:>13}  {stale_after:>12}{}",
            change.name(),
            if *full_flush { "  full flush" } else { "" }
        )
    }
}

pub(super) fn tlb(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    output.heading("  change           pages   stale before   stale after");
    let checks = Checks::default();
    for change in Change::ALL {
        for pages in [1, PAGE_LIMIT, PAGE_LIMIT + 1] {
            if cancel::is_requested() {
                return Err(CommandError::Cancelled);
            }
            let (stale_before, stale_after) = run(change, pages).map_err(|error| {
                CommandError::Failed(format!("{}, {pages} pages: {error}", change.name()))
            })?;
            checks.note(stale_after == 0);
            let shootdown = Shootdown {
                change,
                pages,
                stale_before,
                stale_after,
                full_flush: pages > PAGE_LIMIT,
            };
            output.print("tlb_shootdown", &shootdown);
        }
    }
    let concurrent = concurrent::run()?;
    output.print("concurrent_shootdowns", &concurrent);
    checks.note(concurrent.stale == 0);
    checks.finish(output)
}

/// Makes a change while all CPUs check it. Returns the number of stale pages of all CPUs before the
/// shootdown and after it.
fn run(change: Change, pages: u64) -> Result<(u64, u64), MemoryError> {
    CHANGE.store(change as u64, Ordering::Relaxed);
    PAGES.store(pages, Ordering::Relaxed);
    STALE_BEFORE.store(0, Ordering::Relaxed);
    let frames = [OLD, NEW].map(frame_with);
    let [old, new] = frames;
    let result = old.and_then(|old| new.and_then(|new| change_checked(change, pages, [old, new])));
    for frame in frames.into_iter().flatten() {
        // SAFETY: The frame was returned by `frame_with`, and its mappings have been removed.
        unsafe { frames::free(frame, FRAME) };
    }
    result
}

/// Returns a frame whose first bytes are `value`.
fn frame_with(value: u64) -> Result<u64, MemoryError> {
    let frame = frames::allocate_zeroed_page()?;
    // SAFETY: The frame belongs to this function and is in the direct map.
    unsafe { frames::pointer::<u64>(frame).write_volatile(value) };
    Ok(frame)
}

fn change_checked(
    change: Change,
    pages: u64,
    [old, new]: [u64; 2],
) -> Result<(u64, u64), MemoryError> {
    let all = MAPPINGS..MAPPINGS + pages * FRAME;
    let each = || all.clone().step_by(FRAME as usize);
    for page in each() {
        // SAFETY: The frame is memory of the caller, which accesses it only with volatile
        // operations.
        unsafe { mapping::map(page..page + FRAME, old, Use::Constant)? };
    }
    // SAFETY: Only this test uses the pages, and it expects the change.
    unsafe { mapping::protect(all.clone(), Use::Data)? };
    // Loads the translations into the TLBs, with write access.
    let writable = on_all_cpus(Change::ReadOnly);
    assert!(writable >= pages, "the pages are not writable");

    let shootdown = hooks::flush_all_cpus().expect("the kernel has set it");
    SHOOTDOWN.replace(Some(shootdown));
    // SAFETY: `check_and_shoot_down` calls the previous function.
    unsafe { hooks::set_flush_all_cpus(check_and_shoot_down) };
    let changed = match change {
        // SAFETY: Only this test uses the pages, and it expects the change.
        Change::ReadOnly => unsafe { mapping::protect(all.clone(), Use::Constant) },
        // SAFETY: As above.
        Change::Absent | Change::AnotherFrame => unsafe { mapping::unmap(all.clone()) },
    };
    // SAFETY: This is the previous function.
    unsafe { hooks::set_flush_all_cpus(shootdown) };
    changed?;
    if change == Change::AnotherFrame {
        for page in each() {
            // SAFETY: The frame is memory of the caller, which accesses it only with volatile
            // operations.
            unsafe { mapping::map(page..page + FRAME, new, Use::Data)? };
        }
    }
    let after = on_all_cpus(change);
    if change != Change::Absent {
        // SAFETY: The pages are no longer used.
        unsafe { mapping::unmap(all)? };
    }
    Ok((STALE_BEFORE.load(Ordering::Relaxed), after))
}

/// Replaces the kernel's TLB shootdown: checks the pages first, then calls it.
fn check_and_shoot_down(what: &Translations) {
    let number = CHANGE.load(Ordering::Relaxed);
    // Before the shootdown, a page that gets another frame is only absent.
    let change = if number == Change::ReadOnly as u64 {
        Change::ReadOnly
    } else {
        Change::Absent
    };
    STALE_BEFORE.fetch_add(on_all_cpus(change), Ordering::Relaxed);
    let shootdown = SHOOTDOWN
        .get()
        .expect("it is stored before this function is called");
    shootdown(what);
}

/// Returns the number of stale pages of all CPUs.
fn on_all_cpus(change: Change) -> u64 {
    let stale = AtomicU64::new(0);
    let check = || {
        let pages = PAGES.load(Ordering::Relaxed);
        let addresses = (MAPPINGS..MAPPINGS + pages * FRAME).step_by(FRAME as usize);
        let count = addresses
            .filter(|&address| change.is_stale(address))
            .count();
        stale.fetch_add(count as u64, Ordering::Relaxed);
    };
    call::run(Targets::All, check).expect("all that are online are online");
    stale.into_inner()
}
