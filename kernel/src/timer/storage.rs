//! What of a queue has a place for each timer that its CPU can have: most of the queue's memory. It
//! comes with the first of them, so a CPU without timers does not pay for it.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use tocsin_logic::irq::timers::Timers;

use crate::timer::CAPACITY;
use crate::timer::node::Node;
use crate::timer::registry::Registry;

/// The tables of one CPU, which may not be there yet.
#[derive(Debug)]
pub(super) struct Tables(AtomicPtr<Both>);

#[derive(Debug)]
struct Both {
    /// The timers that have been started: the owner's.
    timers: UnsafeCell<Timers<NonNull<Node>, CAPACITY>>,
    /// All, started or not.
    registry: Registry,
}

/// The tables of a CPU without timers.
struct Empty(Both);

// SAFETY: It is only read.
unsafe impl Sync for Empty {}

static EMPTY: Empty = Empty(Both {
    timers: UnsafeCell::new(Timers::new()),
    registry: Registry::new(),
});

impl Tables {
    /// None yet.
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The places of the CPU's timers, if it has ever had one. Any context.
    pub(super) fn registry(&self) -> Option<&'static Registry> {
        // SAFETY: 1. What is there was complete when it was stored, and is never freed.
        let both = unsafe { self.0.load(Ordering::Acquire).as_ref() };
        both.map(|both| &both.registry)
    }

    /// The same for a CPU that is going to have a timer. Allocates.
    pub(super) fn registry_for_one(&self) -> &'static Registry {
        self.registry().unwrap_or_else(|| {
            let mut own = Box::<Both>::new_uninit();
            // Not built on the stack, where a handler has no room for it.
            // SAFETY: `EMPTY` is only read, and a copy of it is a value of its own: it owns nothing.
            unsafe { ptr::copy_nonoverlapping(&raw const EMPTY.0, own.as_mut_ptr(), 1) };
            // SAFETY: The copy is complete.
            let own = Box::into_raw(unsafe { own.assume_init() });
            // Release: who finds them finds them complete.
            let (release, acquire) = (Ordering::AcqRel, Ordering::Acquire);
            let stored = self
                .0
                .compare_exchange(ptr::null_mut(), own, release, acquire);
            if stored.is_err() {
                // Another CPU was faster.
                // SAFETY: 1. It came from a box, and nobody else has seen it.
                drop(unsafe { Box::from_raw(own) });
            }
            let both = stored.map_or_else(|others| others, |_| own);
            // SAFETY: 1. As in `registry`.
            unsafe { &(*both).registry }
        })
    }

    /// The timers that have been started.
    ///
    /// # Safety
    ///
    /// On the owner, at the timers' class, when one of its timers has been made; the reference must
    /// be gone before the next call.
    #[expect(clippy::mut_from_ref, reason = "the owner has them alone")]
    #[inline]
    pub(super) unsafe fn timers(&self) -> &mut Timers<NonNull<Node>, CAPACITY> {
        let both = self.0.load(Ordering::Acquire);
        // SAFETY: 1. They were made with the first timer, and are never freed.
        let timers = unsafe { &(*both).timers };
        // SAFETY: 1. Passed on to the caller.
        unsafe { &mut *timers.get() }
    }
}
