//! A lock that may be taken where interrupts are enabled and in handlers alike; and sections without
//! interrupts.
//!
//! A spin lock alone is not safe against interrupts: a handler that takes a lock its
//! own CPU holds never returns. [`IrqMutex`] masks interrupts while it is held. It is for
//! short, rare sections (the console, the page tables), not for the interrupt path.
//!
//! The lock knows which CPU holds it. What even masked interrupts do not keep out, a fault report or
//! an NMI, can tell by that whether it has interrupted the holder, and must not wait.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use lock_api::{GuardNoSend, RawMutex};
use x86_64::instructions::interrupts;

use tocsin_logic::units::Nanoseconds;

use crate::hw::processor;
use crate::time::{Patience, WAIT_LIMIT};

/// A spin lock that disables this CPU's interrupts while it is held.
///
/// Guards may be dropped in any order: interrupts return to what they were when the last one of the CPU is
/// dropped. A CPU that holds one must not wait for another CPU, which may spin for it with its interrupts
/// disabled: such waits are rejected.
///
/// Context: any but NMI; there, only `try_lock`.
pub type IrqMutex<T> = lock_api::Mutex<RawIrqMutex, T>;

/// Holds an [`IrqMutex`].
pub type IrqGuard<'a, T> = lock_api::MutexGuard<'a, RawIrqMutex, T>;

/// No CPU.
const NOBODY: u32 = 0;

/// What the locks keep for each CPU. Only the CPU itself uses it, and NMI handlers leave it as it was.
#[derive(Debug)]
pub(crate) struct Local {
    /// The number of the CPU.
    number: u32,
    /// 0: no NMI handler is active; 1: one is; 2: one is, and another NMI has come. The entry code's.
    pub(crate) nmi_state: AtomicU32,
    /// How many locks it holds.
    held: AtomicU32,
    /// Whether interrupts are enabled again when it holds none.
    enable: AtomicBool,
}

impl Local {
    /// That of CPU number `number`, which holds none.
    pub(crate) const fn new(number: u32) -> Self {
        Self {
            number,
            nmi_state: AtomicU32::new(0),
            held: AtomicU32::new(0),
            enable: AtomicBool::new(false),
        }
    }

    /// Whether an NMI handler is active on the CPU.
    #[inline]
    pub(crate) fn in_nmi(&self) -> bool {
        self.nmi_state.load(Ordering::Relaxed) != 0
    }

    /// How many locks the CPU holds.
    #[inline]
    pub(crate) fn held(&self) -> u32 {
        self.held.load(Ordering::Relaxed)
    }

    /// The CPU has taken a lock, with interrupts disabled; before, they were enabled or not.
    #[inline]
    fn add(&self, enable: bool) {
        let held = self.held();
        // Before the other, so that an NMI which takes a lock now does not change the other.
        self.held.store(held + 1, Ordering::Relaxed);
        if held == 0 {
            self.enable.store(enable, Ordering::Relaxed);
        }
    }

    /// The CPU gives a lock back. Whether interrupts must be enabled.
    #[inline]
    fn remove(&self) -> bool {
        let enable = self.enable.load(Ordering::Relaxed);
        let held = self.held().saturating_sub(1);
        self.held.store(held, Ordering::Relaxed);
        held == 0 && enable
    }
}

/// Where a per-CPU block has it, in bytes from its begin; `cpu::percpu` holds to that.
pub(crate) const LOCAL_OFFSET: usize = 8;

/// That of the boot CPU until it has a per-CPU block.
static EARLY: Local = Local::new(0);

/// Whether all CPUs that run have their per-CPU blocks.
static HAVE_BLOCKS: AtomicBool = AtomicBool::new(false);

/// From now on the locks find what they keep in the per-CPU block: the boot CPU has its own.
pub(crate) fn use_blocks() {
    HAVE_BLOCKS.store(true, Ordering::Release);
}

#[inline]
fn local() -> &'static Local {
    if HAVE_BLOCKS.load(Ordering::Relaxed) {
        let block: usize;
        // SAFETY: The GS base of every CPU that runs leads to its per-CPU block, which begins with its own
        // address.
        unsafe {
            asm!("mov {}, gs:[0]", out(reg) block, options(nostack, pure, readonly, preserves_flags));
        }
        // SAFETY: 1. The block has it there, and lives for ever. 2. All of it is atomic or constant.
        unsafe { &*((block + LOCAL_OFFSET) as *const Local) }
    } else {
        &EARLY
    }
}

/// The number of the CPU that runs this code; 0 until it has a per-CPU block.
pub(crate) fn cpu_number() -> u32 {
    local().number
}

/// The lock that logging takes; null until it is known.
static LOG: AtomicPtr<RawIrqMutex> = AtomicPtr::new(core::ptr::null_mut());

/// Sets the lock that logging takes, so that a wait for it is not logged.
pub(crate) fn set_log(lock: &'static RawIrqMutex) {
    LOG.store(core::ptr::from_ref(lock).cast_mut(), Ordering::Relaxed);
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

/// Runs `section` with this CPU's interrupts disabled; they return to what they were when it ends, or, if
/// it leaves an [`IrqMutex`] locked, when that is dropped.
///
/// Context: any.
#[inline]
pub fn without_interrupts<T>(section: impl FnOnce() -> T) -> T {
    if !interrupts::are_enabled() {
        return in_disabled(section);
    }
    interrupts::disable();
    let since = now_if_watched();
    let result = section();
    if since != 0 {
        note(since);
    }
    let local = local();
    if local.held() == 0 {
        interrupts::enable();
    } else {
        local.enable.store(true, Ordering::Relaxed);
    }
    result
}

/// Runs `section`, which begins with interrupts disabled. It may drop the last [`IrqMutex`] guard: interrupts
/// are enabled after it then, not in it.
fn in_disabled<T>(section: impl FnOnce() -> T) -> T {
    let local = local();
    if local.held() == 0 {
        return section();
    }
    let enable = local.enable.swap(false, Ordering::Relaxed);
    let result = section();
    if enable && local.held() == 0 {
        interrupts::enable();
    } else if enable {
        local.enable.store(true, Ordering::Relaxed);
    }
    result
}

/// The lock behind [`IrqMutex`].
#[derive(Debug)]
pub struct RawIrqMutex {
    /// The number of the CPU that holds it, plus 1; or [`NOBODY`].
    holder: AtomicU32,
    /// When the holder disabled them, in TSC cycles, if that was watched; belongs to the holder.
    since: AtomicU64,
}

impl RawIrqMutex {
    /// Whether the CPU that runs this code holds it. Any context.
    pub(crate) fn is_held_here(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == cpu_number() + 1
    }

    /// Frees the lock for other CPUs, and leaves the holder as it is.
    ///
    /// # Safety
    ///
    /// The holder must never go on.
    pub(crate) unsafe fn abandon(&self) {
        self.holder.store(NOBODY, Ordering::Release);
    }

    #[inline]
    fn take(&self, local: &Local) -> bool {
        self.holder
            .compare_exchange(
                NOBODY,
                local.number + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Notes that the lock has been taken, with interrupts disabled since `since`.
    #[inline]
    fn note_taken(&self, local: &Local, enable: bool, since: u64) {
        local.add(enable);
        if since != 0 {
            self.since.store(since, Ordering::Relaxed);
        }
    }

    /// Waits until the lock is free.
    #[cold]
    fn wait(&self, local: &Local) {
        assert!(
            self.holder.load(Ordering::Relaxed) != local.number + 1,
            "sync: IrqMutex: CPU {} takes a lock that it holds (it would wait forever; drop the first guard \
             before)",
            local.number
        );
        let mut patience = Patience::new();
        while self.is_locked() {
            core::hint::spin_loop();
            if cfg!(debug_assertions) && patience.is_over() {
                self.report_wait(local);
            }
        }
    }

    /// Logs a long wait, unless it is for the lock of the log itself.
    #[cold]
    fn report_wait(&self, local: &Local) {
        let holder = self.holder.load(Ordering::Relaxed);
        if holder != NOBODY && !core::ptr::eq(self, LOG.load(Ordering::Relaxed)) {
            let holder = holder - 1;
            log::warn!(
                "sync: IrqMutex: CPU {} has waited {} for CPU {holder}, which holds the lock (interrupts are \
                 disabled meanwhile; `backtrace {holder}` shows where)",
                local.number,
                Nanoseconds(WAIT_LIMIT),
            );
        }
    }
}

/// An NMI may have interrupted the holder on this CPU.
#[cold]
fn reject_in_nmi() -> ! {
    panic!(
        "context: IrqMutex::lock: called in an NMI handler (it is for all code but NMI handlers, which may \
         have interrupted the holder; see docs/contexts.md)"
    )
}

// SAFETY: 1. Only one CPU at a time changes the holder from nobody to itself, and only the holder
// changes it back. 2. Interrupts stay off from before the lock is taken until after it is free, so no
// handler of this CPU can find it held by its own CPU.
unsafe impl RawMutex for RawIrqMutex {
    const INIT: Self = Self {
        holder: AtomicU32::new(NOBODY),
        since: AtomicU64::new(0),
    };

    // Tied to the CPU whose interrupts it masks.
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        let enable = interrupts::are_enabled();
        interrupts::disable();
        let since = now_if_watched();
        let local = local();
        if local.in_nmi() {
            reject_in_nmi();
        }
        while !self.take(local) {
            self.wait(local);
        }
        self.note_taken(local, enable, since);
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let enable = interrupts::are_enabled();
        interrupts::disable();
        let local = local();
        let taken = self.take(local);
        if taken {
            self.note_taken(local, enable, now_if_watched());
        } else if enable {
            interrupts::enable();
        }
        taken
    }

    #[inline]
    unsafe fn unlock(&self) {
        let local = local();
        let is_watched = !WATCH.load(Ordering::Relaxed).is_null();
        let since = if is_watched {
            self.since.load(Ordering::Relaxed)
        } else {
            0
        };
        self.holder.store(NOBODY, Ordering::Release);
        if local.remove() {
            if is_watched {
                note(since);
            }
            interrupts::enable();
        }
    }

    fn is_locked(&self) -> bool {
        self.holder.load(Ordering::Relaxed) != NOBODY
    }
}
