//! Atomic cells for function pointers: hooks by which a module calls a module that depends on it.
//!
//! No other module converts addresses to function pointers.

use core::marker::PhantomData;
use core::sync::atomic::{AtomicPtr, Ordering};

/// A type of function pointers.
///
/// # Safety
///
/// The type must be a function pointer: as large as an address, and never null.
pub unsafe trait FnPointer: Copy {}

// SAFETY: These are function pointers.
unsafe impl FnPointer for fn() {}
// SAFETY: As above.
unsafe impl FnPointer for fn() -> bool {}
// SAFETY: As above.
unsafe impl FnPointer for fn(u64) {}
// SAFETY: As above.
unsafe impl FnPointer for extern "C" fn(usize) {}
// SAFETY: As above.
unsafe impl FnPointer for extern "C" fn(usize, u8) {}

/// A function pointer, or none, which may be replaced while other CPUs read it.
#[repr(transparent)]
#[derive(Debug)]
pub struct FnCell<F>(AtomicPtr<()>, PhantomData<fn(F) -> F>);

impl<F: FnPointer> FnCell<F> {
    /// Without a function.
    ///
    /// Context: any.
    #[must_use]
    pub const fn empty() -> Self {
        const { assert!(size_of::<F>() == size_of::<*mut ()>()) };
        Self(AtomicPtr::new(core::ptr::null_mut()), PhantomData)
    }

    /// The function, and all that was written before it was stored; `None` if there is none.
    ///
    /// Context: any.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<F> {
        Self::pointer(self.0.load(Ordering::Acquire))
    }

    /// Whether there is a function.
    ///
    /// Context: any.
    #[inline]
    #[must_use]
    pub fn is_set(&self) -> bool {
        !self.0.load(Ordering::Relaxed).is_null()
    }

    /// Stores a function, or none. Returns what was there before.
    ///
    /// Context: any.
    pub fn replace(&self, function: Option<F>) -> Option<F> {
        let new = function.map_or(core::ptr::null_mut(), address);
        Self::pointer(self.0.swap(new, Ordering::AcqRel))
    }

    #[inline]
    fn pointer(address: *mut ()) -> Option<F> {
        // SAFETY: `replace` alone stores here, and it stores an `F`.
        (!address.is_null()).then(|| unsafe { from_address(address) })
    }
}

/// The address of a function.
///
/// Context: any.
#[inline]
#[must_use]
pub fn address<F: FnPointer>(function: F) -> *mut () {
    const { assert!(size_of::<F>() == size_of::<*mut ()>()) };
    // SAFETY: A function pointer is as large as an address.
    unsafe { core::mem::transmute_copy::<F, *mut ()>(&function) }
}

/// The function at an address.
///
/// Context: any.
///
/// # Safety
///
/// The address must be that of an `F`, as [`address`] returns it.
#[inline]
#[must_use]
pub unsafe fn from_address<F: FnPointer>(address: *mut ()) -> F {
    const { assert!(size_of::<F>() == size_of::<*mut ()>()) };
    // SAFETY: A function pointer is as large as an address. The caller knows that this is one.
    unsafe { core::mem::transmute_copy::<*mut (), F>(&address) }
}
