//! The policy of the interrupt core, compared with the manuals and with simpler models.
//! `tests/loom` tests concurrent use by several CPUs.

mod affinity;
mod callback;
mod calls;
mod context;
mod priority;
mod route;
mod shootdown;
mod stack;
mod statistics;
mod storm;
mod vectors;

use crate::vector::PriorityClass;
use std::vec::Vec;

/// Class `number`.
fn class(number: u8) -> PriorityClass {
    PriorityClass::new(number).expect("0 to 15")
}

/// All sixteen.
fn classes() -> Vec<PriorityClass> {
    (0..16).map(class).collect()
}
