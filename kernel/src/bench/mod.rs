//! Measurements, in cycles of the time-stamp counter.

use alloc::vec::Vec;
use core::arch::asm;

use tocsin_logic::vector::Vector;

use crate::cpu::interrupts;
use crate::hw::processor::timestamp;

/// Samples of each figure.
const SAMPLES: usize = 10_000;

/// Rounds before the first sample, for caches and for translation under emulation.
const WARM_UP: usize = 1_000;

/// The handler of what is measured.
extern "C" fn nothing(_: usize, _: u8) {}

/// What one thing costs, in TSC cycles, the cost of measuring taken off.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// What was measured.
    pub name: &'static str,
    /// Least, median, 99th percentile and greatest.
    pub cycles: [u64; 4],
}

/// Measures everything; `overhead` is what reading the counter twice costs.
#[must_use]
pub fn run() -> (u64, [Figure; 1]) {
    let [_, overhead, ..] = sample(|| {});
    interrupts::register(Vector(interrupts::SOFTWARE), nothing);
    let figures = [Figure {
        name: "INT n to a registered handler and back",
        cycles: sample(|| {
            // SAFETY: 1. The handler was just registered, and the entry code preserves all registers.
            unsafe { asm!("int {}", const interrupts::SOFTWARE) };
        })
        .map(|cycles| cycles.saturating_sub(overhead)),
    }];
    (overhead, figures)
}

/// Least, median, 99th percentile and greatest of the cycles that `action` takes.
fn sample(action: impl Fn()) -> [u64; 4] {
    for _ in 0..WARM_UP {
        action();
    }
    let mut cycles = Vec::with_capacity(SAMPLES);
    for _ in 0..SAMPLES {
        let start = timestamp();
        action();
        cycles.push(timestamp() - start);
    }
    cycles.sort_unstable();
    [0, SAMPLES / 2, SAMPLES * 99 / 100, SAMPLES - 1].map(|rank| cycles[rank])
}
