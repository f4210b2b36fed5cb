//! The atomics of the parts that loom checks.
//!
//! `tests/loom` compiles those parts with a `sync` of its own instead of this
//! one. Loom's atomics cannot be made in a constant, so what makes them goes
//! through the two macros here, which say `const`, and loom's, which do not.

pub(super) use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicUsize, Ordering};

/// A function that is `const`, except under loom.
macro_rules! const_fn {
    ($(#[$attribute:meta])* $visibility:vis fn $($rest:tt)*) => {
        $(#[$attribute])* $visibility const fn $($rest)*
    };
}

/// An array of `$length` times `$value`, made anew for each place.
macro_rules! array {
    ($value:expr; $length:expr) => {
        [const { $value }; $length]
    };
}

pub(super) use {array, const_fn};
