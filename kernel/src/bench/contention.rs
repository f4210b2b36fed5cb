//! An urgent interrupt that arrives while a thread of its CPU holds a lock for a time.
//!
//! With `cli`, as most kernels have it, the interrupt waits for the end of the section. With a plain spin
//! lock it does not, but no handler may ever take that lock: it would wait for its own CPU. Under a
//! [`CeilingMutex`] all handlers up to the ceiling may, and those above it are not held back.

use core::sync::atomic::Ordering;

use spin::Mutex;
use tocsin_logic::vector::PriorityClass;

use super::clock::stamp;
use super::record::Value;
use super::rivals::{BEGAN, Installed, OWN};
use super::runner::{Bench, Case};
use super::self_ipi::wait;
use crate::apic::local;
use crate::irq::CeilingMutex;
use crate::sync::IrqMutex;

/// Lengths of the section, in cycles.
const SECTIONS: [u64; 6] = [0, 1_000, 5_000, 20_000, 100_000, 500_000];

/// Most samples, because each takes as long as the section.
const SAMPLES: usize = 2_000;

/// A lock of the kind that a driver of class 5 shares with threads.
static CEILING: CeilingMutex<()> = CeilingMutex::new(CLASS, ());

const CLASS: PriorityClass = match PriorityClass::new(5) {
    Some(class) => class,
    None => PriorityClass::LOWEST_USABLE,
};

/// The same, with interrupts off while it is held.
static MASKING: IrqMutex<()> = IrqMutex::new(());

/// The same, that holds nothing back.
static PLAIN: Mutex<()> = Mutex::new(());

pub(super) fn run(bench: &mut Bench) {
    let _installed = Installed::new();
    let overhead = bench.overhead;
    for length in SECTIONS {
        let param = [("section", Value::Number(length))];
        // What is taken is dropped when the section is over.
        let mut none = || arrival(length, || ());
        let mut cli = || arrival(length, || MASKING.lock());
        let mut plain = || arrival(length, || PLAIN.lock());
        let mut ceiling = || arrival(length, || CEILING.lock());
        let mut cases: [Case<'_>; 4] = [
            Case {
                variant: "none",
                overhead,
                take: &mut none,
            },
            Case {
                variant: "cli",
                overhead,
                take: &mut cli,
            },
            Case {
                variant: "spin",
                overhead,
                take: &mut plain,
            },
            Case {
                variant: "ceiling",
                overhead,
                take: &mut ceiling,
            },
        ];
        let samples = if length >= 100_000 {
            SAMPLES / 10
        } else {
            SAMPLES
        };
        bench.compare_few("contention.latency", &param, samples, &mut cases);
    }
}

/// Takes a lock, sends the urgent interrupt at the beginning of a section, and tells when it was answered.
#[inline]
fn arrival<Guard>(length: u64, lock: impl FnOnce() -> Guard) -> u64 {
    BEGAN.store(0, Ordering::Relaxed);
    let guard = lock();
    let start = stamp();
    local().send_to_self(OWN);
    while stamp() - start < length {}
    drop(guard);
    wait() - start
}
