//! Loom's atomics in the place of the core's.
//!
//! Before each access, a thread passes a point that all threads share. Loom tries the
//! orders of accesses that it takes to depend on each other, and compares each only with the
//! last one to the same word: a thread that reads a word and then writes it hides from loom
//! that another one has read it before, and orders are passed over (of two threads that
//! share a queue, all but one). At the shared point every access depends on every other,
//! and none is. The point is relaxed: it makes nothing visible to anyone.

use loom::sync::atomic;
pub(crate) use loom::sync::atomic::Ordering;
use std::cell::RefCell;

loom::lazy_static! {
    static ref POINT: atomic::AtomicUsize = atomic::AtomicUsize::new(0);
}

/// An interrupt of the running CPU, and after how many accesses it comes.
type Interrupt = (usize, Box<dyn FnOnce()>);

thread_local! {
    static INTERRUPT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

/// Every thread comes by here.
pub(crate) fn point() {
    POINT.fetch_add(1, Ordering::Relaxed);
    let now = INTERRUPT.with_borrow_mut(|interrupt| match interrupt {
        Some((0, _)) => interrupt.take(),
        Some((accesses, _)) => {
            *accesses -= 1;
            None
        }
        None => None,
    });
    if let Some((_, interrupt)) = now {
        interrupt();
    }
}

/// Lets `interrupt` come before the access that follows so many others. In models of one thread.
pub(crate) fn interrupt_after(accesses: usize, interrupt: impl FnOnce() + 'static) {
    INTERRUPT.set(Some((accesses, Box::new(interrupt))));
}

/// Whether it has come. If not, it does not come any more.
pub(crate) fn was_interrupted() -> bool {
    INTERRUPT.take().is_none()
}

/// An atomic of loom's with the shared point before each access.
macro_rules! atomic {
    ($name:ident$(<$parameter:ident>)?, $value:ty) => {
        #[derive(Debug)]
        pub(crate) struct $name$(<$parameter>)?(atomic::$name$(<$parameter>)?);

        #[allow(dead_code, reason = "not every type's are all used")]
        impl$(<$parameter>)? $name$(<$parameter>)? {
            pub(crate) fn new(value: $value) -> Self {
                Self(atomic::$name::new(value))
            }

            pub(crate) fn load(&self, order: Ordering) -> $value {
                point();
                self.0.load(order)
            }

            pub(crate) fn store(&self, value: $value, order: Ordering) {
                point();
                self.0.store(value, order);
            }

            pub(crate) fn swap(&self, value: $value, order: Ordering) -> $value {
                point();
                self.0.swap(value, order)
            }

            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                point();
                self.0.compare_exchange(current, new, success, failure)
            }

            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }
        }
    };
}

atomic!(AtomicBool, bool);
atomic!(AtomicU8, u8);
atomic!(AtomicUsize, usize);
atomic!(AtomicPtr<T>, *mut T);

impl AtomicUsize {
    pub(crate) fn fetch_add(&self, value: usize, order: Ordering) -> usize {
        point();
        self.0.fetch_add(value, order)
    }
}

macro_rules! const_fn {
    ($($function:tt)*) => {
        $($function)*
    };
}

macro_rules! array {
    ($value:expr; $length:expr) => {
        core::array::from_fn(|_| $value)
    };
}

pub(crate) use {array, const_fn};
