//! Thin wrappers of CPU instructions and fixed ports.
//!
//! All inline assembly is here, except for the entry code of [`crate::boot`] and [`crate::cpu`].
//! This module contains no policy: decisions are in `tocsin-logic`, where they are tested on the
//! host.

pub mod control;
pub mod machine;
pub mod mmio;
pub mod pit;
pub(crate) mod port;
pub mod processor;
