//! INT n and an undefined instruction, to their handlers and back.

use core::arch::asm;

use tocsin_logic::vector::Vector;

use super::clock::stamp;
use super::rivals::{self, FLOOR, Installed, TYPICAL};
use super::runner::{Bench, Case};
use crate::cpu::{interrupts, probe};

pub(super) fn run(bench: &mut Bench) {
    let overhead = bench.overhead;
    interrupts::register(Vector(interrupts::SOFTWARE), rivals::nothing);
    let _installed = Installed::new();
    Installed::lead(
        rivals::floor_of_int as *const () as u64,
        rivals::typical_of_int as *const () as u64,
    );
    bench.compare(
        "exception.int_n",
        &[],
        &mut [
            Case {
                variant: "tocsin",
                overhead,
                take: &mut int::<{ interrupts::SOFTWARE }>,
            },
            Case {
                variant: "floor",
                overhead,
                take: &mut int::<{ FLOOR.get() }>,
            },
            Case {
                variant: "typical",
                overhead,
                take: &mut int::<{ TYPICAL.get() }>,
            },
        ],
    );
    bench.compare(
        "exception.ud",
        &[],
        &mut [Case {
            variant: "tocsin",
            overhead,
            take: &mut || {
                let start = stamp();
                probe::undefined();
                stamp() - start
            },
        }],
    );
}

fn int<const VECTOR: u8>() -> u64 {
    let start = stamp();
    // SAFETY: 1. The vector's code preserves all registers, and comes back.
    unsafe { asm!("int {}", const VECTOR) };
    stamp() - start
}
