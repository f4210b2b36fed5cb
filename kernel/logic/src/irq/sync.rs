//! The atomics of the modules that loom checks.
//!
//! `tests/loom` compiles those modules with a `sync` of its own instead of this one. Loom's atomics
//! cannot be created in a constant, so their constructors use the two macros here, which are
//! `const`, and those of loom's module, which are not.

pub(super) use core::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering, fence,
};

/// A function that is `const`, except under loom.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility const fn $($rest)*
    };
}

/// An array of `$length` copies of `$value`, created anew for each element.
macro_rules! array {
    ($value:expr; $length:expr) => {
        [const { $value }; $length]
    };
}

pub(super) use {array, const_fn};
