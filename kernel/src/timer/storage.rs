//! The tables of a queue with a slot for each possible timer: most of the queue's memory. They are
//! allocated with the CPU's first timer, so a CPU without timers does not use the memory.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use tocsin_logic::irq::timers::Timers;

use crate::timer::CAPACITY;
use crate::timer::node::Node;
use crate::timer::registry::Registry;

/// The tables of one CPU, which may not be allocated yet.
#[derive(Debug)]
pub(super) struct Storage(AtomicPtr<Tables>);

#[derive(Debug)]
struct Tables {
    /// The started timers, which belong to the owner.
    timers: UnsafeCell<Timers<NonNull<Node>, CAPACITY>>,
    /// All timers, started or not.
    registry: Registry,
}

/// The tables of a CPU without timers.
struct Empty(Tables);

// SAFETY: The value is only read.
unsafe impl Sync for Empty {}

static EMPTY: Empty = Empty(Tables {
    timers: UnsafeCell::new(Timers::new()),
    registry: Registry::new(),
});

impl Storage {
    /// Storage whose tables are not allocated yet.
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The registry of the CPU's timers, if the CPU has ever had one. Any context.
    pub(super) fn registry(&self) -> Option<&'static Registry> {
        // SAFETY: The tables were complete when the pointer was stored, and are never freed.
        let tables = unsafe { self.0.load(Ordering::Acquire).as_ref() };
        tables.map(|tables| &tables.registry)
    }

    /// As [`registry`](Self::registry), for a CPU that is about to get a timer. Allocates.
    pub(super) fn registry_or_allocate(&self) -> &'static Registry {
        self.registry().unwrap_or_else(|| {
            let mut own = Box::<Tables>::new_uninit();
            // Not built on the stack, because a handler's stack is too small for it.
            // SAFETY: `EMPTY` is only read, and a bitwise copy of it is valid: it owns nothing.
            unsafe { ptr::copy_nonoverlapping(&raw const EMPTY.0, own.as_mut_ptr(), 1) };
            // SAFETY: The copy is complete.
            let own = Box::into_raw(unsafe { own.assume_init() });
            // Release: a CPU that finds the tables finds them complete.
            let (release, acquire) = (Ordering::AcqRel, Ordering::Acquire);
            let stored = self
                .0
                .compare_exchange(ptr::null_mut(), own, release, acquire);
            if stored.is_err() {
                // Another CPU has allocated the tables first.
                // SAFETY: The pointer came from a box, and no other CPU has seen it.
                drop(unsafe { Box::from_raw(own) });
            }
            let tables = stored.map_or_else(|existing| existing, |_| own);
            // SAFETY: As in `registry`.
            unsafe { &(*tables).registry }
        })
    }

    /// The started timers.
    ///
    /// # Safety
    ///
    /// On the owner, at the timers' class, after one of its timers has been created; the reference
    /// must be gone before the next call.
    #[expect(clippy::mut_from_ref, reason = "the owner has them alone")]
    #[inline]
    pub(super) unsafe fn timers(&self) -> &mut Timers<NonNull<Node>, CAPACITY> {
        let tables = self.0.load(Ordering::Acquire);
        // SAFETY: The tables were allocated with the first timer, and are never freed.
        let timers = unsafe { &(*tables).timers };
        // SAFETY: The caller guarantees it.
        unsafe { &mut *timers.get() }
    }
}
