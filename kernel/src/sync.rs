//! A lock that may be taken where interrupts are enabled and in handlers alike.
//!
//! `spin::Mutex` alone is not safe against interrupts: a handler that takes a lock its
//! own CPU holds never returns. [`IrqMutex`] masks interrupts while it is held. It is for
//! short, rare sections (the console, the page tables), not for the interrupt path.

use core::sync::atomic::{AtomicBool, Ordering};

use lock_api::{GuardNoSend, RawMutex};
use x86_64::instructions::interrupts;

/// A spin lock that keeps this CPU's interrupts off while it is held. Any context but NMI
/// and #MC may take it; there, only `try_lock`.
///
/// Guards must be dropped in the opposite order of their making, as scopes do.
pub type IrqMutex<T> = lock_api::Mutex<RawIrqMutex, T>;

/// Holds an [`IrqMutex`]; interrupts return to what they were when it is dropped.
pub type IrqGuard<'a, T> = lock_api::MutexGuard<'a, RawIrqMutex, T>;

/// The lock behind [`IrqMutex`].
#[derive(Debug)]
pub struct RawIrqMutex {
    lock: spin::Mutex<()>,
    /// Whether the holder had interrupts enabled; belongs to the holder.
    enable: AtomicBool,
}

// SAFETY: 1. Exclusion is that of `spin::Mutex`. 2. Interrupts stay off from before the lock is
// taken until after it is free, so no handler of this CPU can find it held by its own CPU.
unsafe impl RawMutex for RawIrqMutex {
    const INIT: Self = Self {
        lock: spin::Mutex::new(()),
        enable: AtomicBool::new(false),
    };

    // Tied to the CPU whose interrupts it masks.
    type GuardMarker = GuardNoSend;

    fn lock(&self) {
        let enable = interrupts::are_enabled();
        interrupts::disable();
        RawMutex::lock(&self.lock);
        self.enable.store(enable, Ordering::Relaxed);
    }

    fn try_lock(&self) -> bool {
        let enable = interrupts::are_enabled();
        interrupts::disable();
        let taken = RawMutex::try_lock(&self.lock);
        if taken {
            self.enable.store(enable, Ordering::Relaxed);
        } else if enable {
            interrupts::enable();
        }
        taken
    }

    unsafe fn unlock(&self) {
        let enable = self.enable.load(Ordering::Relaxed);
        // SAFETY: 1. Passed on to the caller: it holds the lock.
        unsafe { RawMutex::unlock(&self.lock) };
        if enable {
            interrupts::enable();
        }
    }

    fn is_locked(&self) -> bool {
        RawMutex::is_locked(&self.lock)
    }
}
