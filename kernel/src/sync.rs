//! A lock that may be taken where interrupts are enabled and in handlers alike; and sections without
//! interrupts.
//!
//! A spin lock alone is not safe against interrupts: a handler that takes a lock its
//! own CPU holds never returns. [`IrqMutex`] masks interrupts while it is held. It is for
//! short, rare sections (the console, the page tables), not for the interrupt path.
//!
//! The lock knows which CPU holds it. What even masked interrupts do not keep out, a fault report or
//! an NMI, can tell by that whether it has interrupted the holder, and must not wait.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use lock_api::{GuardNoSend, RawMutex};
use x86_64::instructions::interrupts;

use crate::hw::processor;

/// A spin lock that keeps this CPU's interrupts off while it is held. Any context but NMI
/// and #MC may take it; there, only `try_lock`.
///
/// Guards must be dropped in the opposite order of their making, as scopes do.
pub type IrqMutex<T> = lock_api::Mutex<RawIrqMutex, T>;

/// Holds an [`IrqMutex`]; interrupts return to what they were when it is dropped.
pub type IrqGuard<'a, T> = lock_api::MutexGuard<'a, RawIrqMutex, T>;

/// No CPU.
const NOBODY: u32 = 0;

static CPU_NUMBER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Tells the locks and the log how to learn the number of the CPU they run on. Until then it is 0.
pub(crate) fn set_cpu_number(number: fn() -> u32) {
    CPU_NUMBER.store(number as *mut (), Ordering::Release);
}

/// The number of the CPU that runs this code.
pub(crate) fn cpu_number() -> u32 {
    let pointer = CPU_NUMBER.load(Ordering::Acquire);
    if pointer.is_null() {
        return 0;
    }
    // SAFETY: 1. Only `set_cpu_number` stores here, and it stores a `fn() -> u32`.
    let number = unsafe { core::mem::transmute::<*mut (), fn() -> u32>(pointer) };
    number()
}

/// Who notes how long interrupts are disabled; null if nobody does.
static WATCH: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// Lets `note` be called at the end of each section in which interrupts are disabled, while they still
/// are, with the time-stamp counter at its begin; or nobody. In a section that began before, the time
/// may be that of an earlier one.
pub(crate) fn set_watch(note: Option<fn(u64)>) {
    let note = note.map_or(core::ptr::null_mut(), |note| note as *mut ());
    WATCH.store(note, Ordering::Release);
}

/// Now, in TSC cycles, if sections are watched; else 0.
#[inline]
pub(crate) fn now_if_watched() -> u64 {
    if WATCH.load(Ordering::Relaxed).is_null() {
        0
    } else {
        processor::timestamp()
    }
}

/// Notes that a section ends which began at `since`.
#[cold]
fn note(since: u64) {
    let note = WATCH.load(Ordering::Acquire);
    if since == 0 || note.is_null() {
        return;
    }
    // SAFETY: 1. Only `set_watch` stores here, and it stores a `fn(u64)`.
    let note = unsafe { core::mem::transmute::<*mut (), fn(u64)>(note) };
    note(since);
}

/// Runs `section` with this CPU's interrupts disabled; they return to what they were. Any context.
#[inline]
pub fn without_interrupts<T>(section: impl FnOnce() -> T) -> T {
    if !interrupts::are_enabled() {
        return section();
    }
    interrupts::disable();
    let since = now_if_watched();
    let result = section();
    if since != 0 {
        note(since);
    }
    interrupts::enable();
    result
}

/// The lock behind [`IrqMutex`].
#[derive(Debug)]
pub struct RawIrqMutex {
    /// The number of the CPU that holds it, plus 1; or [`NOBODY`].
    holder: AtomicU32,
    /// Whether the holder had interrupts enabled; belongs to the holder.
    enable: AtomicBool,
    /// When the holder disabled them, in TSC cycles, if that was watched; belongs to the holder.
    since: AtomicU64,
}

impl RawIrqMutex {
    /// Whether the CPU that runs this code holds it. Any context.
    pub(crate) fn is_held_here(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == cpu_number() + 1
    }

    fn take(&self) -> bool {
        self.holder
            .compare_exchange(
                NOBODY,
                cpu_number() + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok()
    }
}

// SAFETY: 1. Only one CPU at a time changes the holder from nobody to itself, and only the holder
// changes it back. 2. Interrupts stay off from before the lock is taken until after it is free, so no
// handler of this CPU can find it held by its own CPU.
unsafe impl RawMutex for RawIrqMutex {
    const INIT: Self = Self {
        holder: AtomicU32::new(NOBODY),
        enable: AtomicBool::new(false),
        since: AtomicU64::new(0),
    };

    // Tied to the CPU whose interrupts it masks.
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        let enable = interrupts::are_enabled();
        interrupts::disable();
        let since = now_if_watched();
        while !self.take() {
            debug_assert!(!self.is_held_here(), "a lock that this CPU holds already");
            while self.is_locked() {
                core::hint::spin_loop();
            }
        }
        self.enable.store(enable, Ordering::Relaxed);
        if since != 0 {
            self.since.store(since, Ordering::Relaxed);
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let enable = interrupts::are_enabled();
        interrupts::disable();
        let taken = self.take();
        if taken {
            self.enable.store(enable, Ordering::Relaxed);
            let since = now_if_watched();
            if since != 0 {
                self.since.store(since, Ordering::Relaxed);
            }
        } else if enable {
            interrupts::enable();
        }
        taken
    }

    #[inline]
    unsafe fn unlock(&self) {
        let enable = self.enable.load(Ordering::Relaxed);
        let is_watched = enable && !WATCH.load(Ordering::Relaxed).is_null();
        let since = if is_watched {
            self.since.load(Ordering::Relaxed)
        } else {
            0
        };
        self.holder.store(NOBODY, Ordering::Release);
        if is_watched {
            note(since);
        }
        if enable {
            interrupts::enable();
        }
    }

    fn is_locked(&self) -> bool {
        self.holder.load(Ordering::Relaxed) != NOBODY
    }
}
