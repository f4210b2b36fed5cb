//! The processor and the fixed ports, as thin wrappers.
//!
//! All inline assembly lives here, but for the entry code of [`crate::boot`]
//! and [`crate::cpu`]. Nothing here decides anything: decisions are in
//! `tocsin-logic`, where the host can test them.

pub mod control;
pub mod machine;
pub mod mmio;
pub mod pit;
pub(crate) mod port;
pub mod processor;
