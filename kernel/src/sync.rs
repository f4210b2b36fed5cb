//! A lock for threads and handlers, and sections with interrupts disabled.
//!
//! A plain spin lock is not safe in handlers: a handler that takes a lock which its own CPU holds
//! deadlocks. [`IrqMutex`] disables interrupts while it is held. It is for short, rare sections
//! (the console, the page tables), not for the interrupt path.
//!
//! The lock stores which CPU holds it. Code that masked interrupts do not exclude, a fault report
//! or an NMI handler, uses this to check whether it has interrupted the holder, and then must not
//! wait.

use core::arch::asm;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use lock_api::{GuardNoSend, RawMutex};
use x86_64::instructions::interrupts;

use tocsin_logic::units::Nanoseconds;

use crate::cpu_local::{PerCpu, current};
use crate::fn_cell::FnCell;
use crate::hw::processor;
use crate::time::{LongWait, WAIT_LIMIT};

/// A spin lock that disables this CPU's interrupts while it is held.
///
/// Guards may be dropped in any order: IF returns to its previous value when the CPU's last guard
/// is dropped. A CPU that holds one must not wait for another CPU, which may spin for the lock with
/// interrupts disabled: such waits are rejected.
///
/// Context: any but NMI; there, only `try_lock`.
pub type IrqMutex<T> = lock_api::Mutex<RawIrqMutex, T>;

/// The guard of an [`IrqMutex`].
pub type IrqGuard<'a, T> = lock_api::MutexGuard<'a, RawIrqMutex, T>;

/// The value of a free lock.
const FREE: u32 = 0;

/// The state of a CPU's sections with interrupts disabled: bits 0 to 15 count its locks, bits 16 to
/// 29 its other sections.
mod state {
    pub(super) const LOCK: u32 = 1;
    pub(super) const LOCKS: u32 = 0xffff;
    pub(super) const SECTION: u32 = 1 << 16;
    /// IRQs-off sections were measured when the outermost section or lock began.
    pub(super) const MEASURED: u32 = 1 << 30;
    /// Interrupts were enabled before the outermost section or lock, and are enabled again when
    /// both counts are 0.
    pub(super) const ENABLE: u32 = 1 << 31;
}

/// The per-CPU state of the locks. Only the CPU itself changes it, and NMI handlers restore it.
#[derive(Debug)]
pub(crate) struct Local {
    /// Written by the entry code. 0: no NMI handler is active; 1: one is; 2: one is, and another
    /// NMI has arrived.
    pub(crate) nmi_state: AtomicU32,
    /// See [`state`].
    state: AtomicU32,
    /// The time-stamp counter at the beginning of the outermost section or lock, if
    /// [`state::MEASURED`] is set.
    since: AtomicU64,
}

impl Local {
    /// The state of a CPU that holds no lock.
    const fn new() -> Self {
        Self {
            nmi_state: AtomicU32::new(0),
            state: AtomicU32::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// Whether an NMI handler is active on the CPU.
    #[inline]
    pub(crate) fn in_nmi(&self) -> bool {
        self.nmi_state.load(Ordering::Relaxed) != 0
    }

    /// The number of locks that the CPU holds.
    #[inline]
    pub(crate) fn held(&self) -> u32 {
        self.state.load(Ordering::Relaxed) & state::LOCKS
    }

    /// Disables interrupts and begins a [`state::SECTION`] or a [`state::LOCK`].
    #[inline]
    fn begin(&self, kind: u32) {
        let enabled = interrupts::are_enabled();
        interrupts::disable();
        let mut state = self.state.load(Ordering::Relaxed);
        if enabled {
            state |= state::ENABLE;
            if is_measured() {
                state |= state::MEASURED;
                self.since.store(processor::timestamp(), Ordering::Relaxed);
            }
        }
        self.state.store(state + kind, Ordering::Relaxed);
    }

    /// Ends a section or lock that [`begin`](Self::begin) began. Enables interrupts if it was the
    /// CPU's last one and they were enabled before the outermost.
    #[inline]
    fn end(&self, kind: u32) {
        let left = self.state.load(Ordering::Relaxed).wrapping_sub(kind);
        if left == state::ENABLE {
            self.state.store(0, Ordering::Relaxed);
            interrupts::enable();
        } else {
            self.end_inner_or_measured(left);
            // Keeps the call from becoming a jump: the caller must be found on the stack.
            // SAFETY: The string contains no instruction.
            unsafe { asm!("", options(nomem, nostack, preserves_flags)) };
        }
    }

    #[cold]
    fn end_inner_or_measured(&self, left: u32) {
        if left == state::ENABLE | state::MEASURED {
            record_section(self.since.load(Ordering::Relaxed));
            self.state.store(0, Ordering::Relaxed);
            interrupts::enable();
        } else {
            self.state.store(left, Ordering::Relaxed);
        }
    }
}

crate::cpu_local! {
    pub(crate) static LOCAL: Local = Local::new();
}

/// The lock that logging takes; null until it is set.
static LOG: AtomicPtr<RawIrqMutex> = AtomicPtr::new(core::ptr::null_mut());

/// Sets the lock that logging takes, so that a wait for it is not logged.
pub(crate) fn set_log(lock: &'static RawIrqMutex) {
    LOG.store(core::ptr::from_ref(lock).cast_mut(), Ordering::Relaxed);
}

/// The function that records the length of IRQs-off sections.
static SECTION_HOOK: FnCell<fn(u64)> = FnCell::empty();

/// Sets the function that is called at the end of each section with interrupts disabled, while they
/// still are, with the time-stamp counter at the beginning of the section; `None` ends the
/// measurement. A section that began before the measurement is not recorded.
pub(crate) fn set_section_hook(hook: Option<fn(u64)>) {
    SECTION_HOOK.replace(hook);
}

#[inline]
fn is_measured() -> bool {
    SECTION_HOOK.is_set()
}

/// The current time, in TSC cycles, if sections are measured; else 0.
#[inline]
pub(crate) fn now_if_measured() -> u64 {
    if is_measured() {
        processor::timestamp()
    } else {
        0
    }
}

/// Records the end of a section that began at `since`.
#[cold]
fn record_section(since: u64) {
    if let Some(hook) = SECTION_HOOK.get() {
        hook(since);
    }
}

/// Runs `section` with this CPU's interrupts disabled. IF returns to its previous value at the end
/// or, if the section leaves an [`IrqMutex`] locked, when its guard is dropped.
///
/// Context: any.
#[inline]
pub fn without_interrupts<T>(section: impl FnOnce() -> T) -> T {
    let local = LOCAL.here();
    local.begin(state::SECTION);
    let result = section();
    local.end(state::SECTION);
    result
}

/// The lock behind [`IrqMutex`].
#[derive(Debug)]
pub struct RawIrqMutex {
    /// The number of the CPU that holds the lock, plus 1; or [`FREE`].
    holder: AtomicU32,
}

impl RawIrqMutex {
    /// Whether the CPU that runs this code holds the lock. Any context.
    pub(crate) fn is_held_here(&self) -> bool {
        self.holder.load(Ordering::Relaxed) == current().id() + 1
    }

    /// Unlocks the lock for other CPUs, without ending the holder's section.
    ///
    /// # Safety
    ///
    /// The holder must never continue.
    pub(crate) unsafe fn abandon(&self) {
        self.holder.store(FREE, Ordering::Release);
    }

    #[inline]
    fn take(&self, cpu: PerCpu) -> bool {
        self.holder
            .compare_exchange(FREE, cpu.id() + 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok()
    }

    /// Waits until the lock is free.
    #[cold]
    fn wait(&self, cpu: PerCpu) {
        assert!(
            self.holder.load(Ordering::Relaxed) != cpu.id() + 1,
            "sync: IrqMutex: CPU {} takes a lock that it holds (it would wait forever; drop the first guard \
             before)",
            cpu.id()
        );
        let mut long_wait = LongWait::new();
        while self.is_locked() {
            core::hint::spin_loop();
            if cfg!(debug_assertions) && long_wait.poll() {
                self.report_wait(cpu);
            }
        }
    }

    /// Logs a long wait, except if it is for the lock of the log itself or the CPU holds that lock.
    #[cold]
    fn report_wait(&self, cpu: PerCpu) {
        let holder = self.holder.load(Ordering::Relaxed);
        // SAFETY: the pointer is null or points to a static lock.
        let log = unsafe { LOG.load(Ordering::Relaxed).as_ref() };
        let is_for_log = log.is_some_and(|log| core::ptr::eq(self, log) || log.is_held_here());
        if holder != FREE && !is_for_log {
            let holder = holder - 1;
            log::warn!(
                "sync: IrqMutex: CPU {} has waited {} for CPU {holder}, which holds the lock (interrupts are \
                 disabled meanwhile; `backtrace {holder}` shows where)",
                cpu.id(),
                Nanoseconds(WAIT_LIMIT),
            );
        }
    }
}

/// Rejects `lock` in an NMI handler, which may have interrupted the holder on this CPU.
#[cold]
fn reject_in_nmi() -> ! {
    panic!(
        "context: IrqMutex::lock: called in an NMI handler (it is for all code but NMI handlers, which may \
         have interrupted the holder; see docs/contexts.md)"
    )
}

// SAFETY: Only one CPU at a time changes the holder from `FREE` to itself, and only the holder
// changes it back. Interrupts are disabled from before the lock is taken until after it is
// released, so no handler can find it held by its own CPU.
unsafe impl RawMutex for RawIrqMutex {
    const INIT: Self = Self {
        holder: AtomicU32::new(FREE),
    };

    // The guard belongs to the CPU whose interrupts it masks.
    type GuardMarker = GuardNoSend;

    #[inline]
    fn lock(&self) {
        let cpu = current();
        let local = LOCAL.of(cpu);
        if local.in_nmi() {
            reject_in_nmi();
        }
        local.begin(state::LOCK);
        while !self.take(cpu) {
            self.wait(cpu);
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        let cpu = current();
        let local = LOCAL.of(cpu);
        local.begin(state::LOCK);
        let taken = self.take(cpu);
        if !taken {
            local.end(state::LOCK);
        }
        taken
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.holder.store(FREE, Ordering::Release);
        LOCAL.here().end(state::LOCK);
    }

    fn is_locked(&self) -> bool {
        self.holder.load(Ordering::Relaxed) != FREE
    }
}
