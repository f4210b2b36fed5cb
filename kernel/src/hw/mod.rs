//! Wrappers of CPU instructions and fixed ports.
//!
//! All inline assembly is here, except for the entry code of [`crate::boot`] and [`crate::trap`].
//! This module contains no policy: decisions are in `tocsin-logic`, where they are tested on the
//! host.

pub mod control;
pub mod mmio;
pub mod pit;
pub(crate) mod port;
pub mod power;
pub mod processor;
