//! What holds interrupts back on the CPU that is measured: every stretch of it, as it ends.
//!
//! - IF = 0 and CR8: the kernel's own account of both (`cpu::stretch`), which its locks, ceilings and
//!   sections keep.
//! - Handlers: while [`Recording`] lives, each handler in the CPU's table is entered through [`around`],
//!   which reads the clock before and after. The entry code before it and the EOI after it belong to the
//!   handler; they are as long as [`Ends`] has measured. A handler below the class that is measured does
//!   not hold it back but for those two, in which interrupts are off.
//! - Functions of timers run in one interrupt with others: they tell by themselves ([`note_service`]).
//!
//! Not seen are the last few instructions between the reading of the clock and the end of a section,
//! handlers of exceptions, and NMIs.

use crate::raw;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tocsin::hooks;

use arrayvec::ArrayVec;
use tocsin_logic::bench::{Held, Stretch};
use tocsin_logic::vector::{PriorityClass, Vector};
use x86_64::instructions::interrupts;

use super::clock::stamp;
use super::rivals::Handler;
use tocsin::cpu::interrupts::{FIRST, WITHOUT_EOI};
use tocsin::cpu::stretch::By;
use tocsin::cpu::{self, PerCpu};
use tocsin::sync;

/// The class that is measured: the timers'.
pub(super) const CLASS: PriorityClass = PriorityClass::new(14).expect("a class is 0 to 15");

/// Stretches that are kept: more than end while one interrupt waits.
const KEPT: usize = 256;

/// Stretches that one split takes into account.
pub(super) const MOST: usize = 64;

#[derive(Clone, Copy)]
struct Entry {
    stretch: Stretch,
    /// When it was noted.
    noted: u64,
}

struct Log {
    /// How many there have been; the next one goes where this is, modulo [`KEPT`].
    count: u64,
    entries: [Entry; KEPT],
    /// The handlers of the table, by vector.
    handlers: [Option<Handler>; 256],
}

/// Belongs to the CPU that is measured, interrupts off.
struct Owned(UnsafeCell<Log>);

// SAFETY: 1. `with` lets in only one CPU, and nothing that interrupts it.
unsafe impl Sync for Owned {}

static LOG: Owned = Owned(UnsafeCell::new(Log {
    count: 0,
    entries: [Entry {
        stretch: Stretch {
            held: Held::Off,
            begin: 0,
            end: 0,
        },
        noted: 0,
    }; KEPT],
    handlers: [None; 256],
}));

/// The block of the CPU that is measured; 0 if none is.
static MEASURED: AtomicUsize = AtomicUsize::new(0);

/// See [`Ends`].
static BEFORE: AtomicU64 = AtomicU64::new(0);
static AFTER: AtomicU64 = AtomicU64::new(0);

/// Calls `action` with the log, on the CPU that is measured; elsewhere not at all.
fn with<R>(action: impl FnOnce(&mut Log) -> R) -> Option<R> {
    let own = core::ptr::from_ref::<PerCpu>(cpu::current()) as usize;
    if MEASURED.load(Ordering::Relaxed) != own {
        return None;
    }
    let enable = interrupts::are_enabled();
    interrupts::disable();
    // SAFETY: 1. One CPU gets here, and nothing interrupts it: NMIs take no locks and run no handlers of
    // the table. 2. No `action` of this module calls `with`.
    let result = action(unsafe { &mut *LOG.0.get() });
    if enable {
        interrupts::enable();
    }
    Some(result)
}

impl Log {
    /// Appends a section. The entries are in the order of their `noted`, even if an interrupt came between the
    /// end of the section and this call.
    fn push(&mut self, held: Held, begin: u64, end: u64) {
        self.entries[self.count as usize % KEPT] = Entry {
            stretch: Stretch { held, begin, end },
            noted: stamp(),
        };
        self.count += 1;
    }
}

/// How long a handler's entry and its end take, in cycles.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    /// From the gate to the first stamp.
    pub(super) before: u64,
    /// From the last stamp to what was interrupted.
    pub(super) after: u64,
}

/// Has all stretches of this CPU kept until it is dropped.
#[derive(Debug)]
pub(super) struct Recording;

impl Recording {
    /// In a thread of the CPU that is measured.
    pub(super) fn begin(ends: Ends) -> Self {
        BEFORE.store(ends.before, Ordering::Relaxed);
        AFTER.store(ends.after, Ordering::Relaxed);
        let this = cpu::current();
        MEASURED.store(core::ptr::from_ref(this) as usize, Ordering::SeqCst);
        for vector in vectors() {
            // Off, so that none is entered through `around` before its handler is known.
            sync::without_interrupts(|| {
                let found = raw::exchange(this, vector, around);
                with(|log| log.handlers[usize::from(vector.get())] = found.map(|it| it.0));
            });
        }
        hooks::record(Some(note));
        Self
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        hooks::record(None);
        let this = cpu::current();
        for vector in vectors() {
            let own = with(|log| log.handlers[usize::from(vector.get())].take()).flatten();
            if let Some(own) = own {
                let _ = raw::exchange(this, vector, own);
            }
        }
        MEASURED.store(0, Ordering::SeqCst);
    }
}

/// Those that the local APIC delivers.
fn vectors() -> impl Iterator<Item = Vector> {
    let all = (FIRST..=u8::MAX).filter(|vector| !WITHOUT_EOI.contains(vector));
    all.map(Vector)
}

/// Gets what the kernel notes, interrupts off.
fn note(by: By, since: u64) {
    let held = match by {
        By::Off => Held::Off,
        By::Raised(class) if class >= CLASS => Held::Raised,
        // It holds back others.
        By::Raised(_) => return,
    };
    with(|log| log.push(held, since, stamp()));
}

/// Notes that the function of a timer has run since `begin`.
pub(super) fn note_service(begin: u64) {
    with(|log| log.push(Held::Service, begin, stamp()));
}

/// Calls the handler that the table had, and notes when.
extern "C" fn around(context: usize, vector: u8) {
    let begin = stamp();
    let entered = begin.saturating_sub(BEFORE.load(Ordering::Relaxed));
    let after = AFTER.load(Ordering::Relaxed);
    let holds_back = vector >> 4 >= CLASS.get();
    let handler = with(|log| {
        if !holds_back {
            // Now, because one that waits comes in the middle of the handler.
            log.push(Held::Off, entered, begin);
        }
        log.handlers[usize::from(vector)]
    });
    if let Some(handler) = handler.flatten() {
        handler(context, vector);
    }
    // They are off until the interrupted code goes on, but for this.
    interrupts::disable();
    with(|log| {
        let end = stamp();
        if holds_back {
            log.push(Held::Service, entered, end + after);
        } else {
            log.push(Held::Off, end, end + after);
        }
    });
}

/// What has held an interrupt back from its `deadline` until the function that is measured `began`. The CPU went
/// through the interrupt's gate at `gate`. `None` if that were more sections than are kept.
pub(super) fn between(deadline: u64, gate: u64, began: u64) -> Option<ArrayVec<Stretch, MOST>> {
    let after = AFTER.load(Ordering::Relaxed);
    with(|log| {
        let mut found = ArrayVec::new();
        for back in 1..=log.count.min(KEPT as u64) {
            let Entry { mut stretch, noted } = log.entries[(log.count - back) as usize % KEPT];
            if noted + after < deadline {
                return Some(found);
            }
            if stretch.begin < gate {
                // It was over when the interrupt came, whatever its end was expected to take.
                stretch.end = stretch.end.min(gate);
            } else if noted >= began {
                // It belongs to the measured function.
                continue;
            }
            if stretch.end > deadline && found.try_push(stretch).is_err() {
                return None;
            }
        }
        (log.count < KEPT as u64).then_some(found)
    })
    .flatten()
}
