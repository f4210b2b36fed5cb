//! `tlb`: mappings that change while all CPUs have them in their TLBs.
//!
//! The kernel's own way is watched: between the change of the tables and the moment when the CPUs are told,
//! each of them looks which of its pages still are as they were; then, when all have been told, again.

use core::sync::atomic::{AtomicU64, Ordering};
use tocsin::fn_cell::FnCell;
use tocsin::hooks;

use tocsin_logic::layout::MAPPINGS;

use crate::command::{Arguments, CommandError};
use tocsin::cpu::probe;
use tocsin::ipi::{Targets, call};
use tocsin::memory::frames::{self, FRAME};
use tocsin::memory::paging::Use;
use tocsin::memory::tlb::{ForgetEverywhere, PAGE_LIMIT, Translations};
use tocsin::memory::{MemoryError, mapping};
use tocsin::{Machine, cancel, println};

/// What the old frame holds.
const OLD: u64 = 0x0123_4567_89ab_cdef;

/// What the new one holds.
const NEW: u64 = !OLD;

/// How a mapping changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
enum Change {
    Absent,
    ReadOnly,
    AnotherFrame,
}

impl Change {
    const ALL: [(Self, &'static str); 3] = [
        (Self::AnotherFrame, "another frame"),
        (Self::ReadOnly, "read-only"),
        (Self::Absent, "absent"),
    ];

    /// Whether the CPU that runs this can use the page at `address` as it was before the change.
    fn is_stale(self, address: u64) -> bool {
        // SAFETY: 1. The page is mapped to a frame of `run`'s or not at all.
        let read = || unsafe { probe::read(address) };
        match self {
            Self::Absent => read().is_some(),
            // SAFETY: 1. As above. 2. All CPUs write the same.
            Self::ReadOnly => unsafe { probe::write(address, OLD) },
            Self::AnotherFrame => read() != Some(NEW),
        }
    }
}

/// What is being done, for the functions that run on other CPUs.
static CHANGE: AtomicU64 = AtomicU64::new(0);
static PAGES: AtomicU64 = AtomicU64::new(0);

/// Pages that CPUs could use as before, before they were told.
static STALE_BEFORE: AtomicU64 = AtomicU64::new(0);

/// How CPUs are told.
static TELL: FnCell<ForgetEverywhere> = FnCell::empty();

pub(super) fn tlb(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    arguments.end()?;
    println!("  change           pages   stale before   stale after");
    for (change, name) in Change::ALL {
        for pages in [1, PAGE_LIMIT, PAGE_LIMIT + 1] {
            if cancel::is_requested() {
                return Err(CommandError::Cancelled);
            }
            match run(change, pages) {
                Ok((before, after)) => println!(
                    "  {name:<13}  {pages:>7}  {before:>13}  {after:>12}{}",
                    if pages > PAGE_LIMIT {
                        "  all forgotten"
                    } else {
                        ""
                    }
                ),
                Err(error) => println!("  {name:<13}  {pages:>7}  {error}"),
            }
        }
    }
    Ok(())
}

/// Makes a change under the eyes of all CPUs. Returns on how many pages of how many CPUs it was not seen,
/// before the CPUs were told and after.
fn run(change: Change, pages: u64) -> Result<(u64, u64), MemoryError> {
    CHANGE.store(change as u64, Ordering::Relaxed);
    PAGES.store(pages, Ordering::Relaxed);
    STALE_BEFORE.store(0, Ordering::Relaxed);
    let frames = [OLD, NEW].map(frame_with);
    let [old, new] = frames;
    let result = old.and_then(|old| new.and_then(|new| change_watched(change, pages, [old, new])));
    for frame in frames.into_iter().flatten() {
        // SAFETY: 1. It came from `frame_with`, and its mappings are gone.
        unsafe { frames::free(frame, FRAME) };
    }
    result
}

/// A frame whose first bytes are `value`.
fn frame_with(value: u64) -> Result<u64, MemoryError> {
    let frame = frames::allocate_zeroed_page()?;
    // SAFETY: 1. The frame is this function's own, and the direct map shows it.
    unsafe { frames::pointer::<u64>(frame).write_volatile(value) };
    Ok(frame)
}

fn change_watched(
    change: Change,
    pages: u64,
    [old, new]: [u64; 2],
) -> Result<(u64, u64), MemoryError> {
    let all = MAPPINGS..MAPPINGS + pages * FRAME;
    let each = || all.clone().step_by(FRAME as usize);
    for page in each() {
        // SAFETY: 1. The frame is memory of the caller's, used through volatile accesses only.
        unsafe { mapping::map(page..page + FRAME, old, Use::Constant)? };
    }
    // SAFETY: 1. Nothing but this test uses the pages, and it expects the change.
    unsafe { mapping::protect(all.clone(), Use::Data)? };
    // Into the TLBs, for writing too.
    let writable = on_all_cpus(Change::ReadOnly);
    assert!(writable >= pages, "rights that were given are not there");

    let tell = hooks::forget_everywhere().expect("the kernel has set it");
    TELL.replace(Some(tell));
    // SAFETY: `watch` calls the function before.
    unsafe { hooks::set_forget_everywhere(watch) };
    let changed = match change {
        // SAFETY: 1. Nothing but this test uses the pages, and it expects the change.
        Change::ReadOnly => unsafe { mapping::protect(all.clone(), Use::Constant) },
        // SAFETY: 1. As above.
        Change::Absent | Change::AnotherFrame => unsafe { mapping::unmap(all.clone()) },
    };
    // SAFETY: It was the function before.
    unsafe { hooks::set_forget_everywhere(tell) };
    changed?;
    if change == Change::AnotherFrame {
        for page in each() {
            // SAFETY: 1. The frame is memory of the caller's, used through volatile accesses only.
            unsafe { mapping::map(page..page + FRAME, new, Use::Data)? };
        }
    }
    let after = on_all_cpus(change);
    if change != Change::Absent {
        // SAFETY: 1. Nothing uses the pages any more.
        unsafe { mapping::unmap(all)? };
    }
    Ok((STALE_BEFORE.load(Ordering::Relaxed), after))
}

/// Stands in for the kernel's way of telling the CPUs: looks first, then does it.
fn watch(what: &Translations) {
    let number = CHANGE.load(Ordering::Relaxed);
    // Until they are told, a page that gets another frame is only absent.
    let change = if number == Change::ReadOnly as u64 {
        Change::ReadOnly
    } else {
        Change::Absent
    };
    STALE_BEFORE.fetch_add(on_all_cpus(change), Ordering::Relaxed);
    let tell = TELL
        .get()
        .expect("it is stored before this function is called");
    tell(what);
}

/// On how many pages of how many CPUs the change is not seen.
fn on_all_cpus(change: Change) -> u64 {
    let stale = AtomicU64::new(0);
    let look = || {
        let pages = PAGES.load(Ordering::Relaxed);
        let addresses = (MAPPINGS..MAPPINGS + pages * FRAME).step_by(FRAME as usize);
        let count = addresses
            .filter(|&address| change.is_stale(address))
            .count();
        stale.fetch_add(count as u64, Ordering::Relaxed);
    };
    call::run(Targets::All, look).expect("all that are online are online");
    stale.into_inner()
}
