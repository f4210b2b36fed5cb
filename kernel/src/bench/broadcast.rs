//! One interrupt to all other CPUs, until all of them have answered.

use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;

use super::clock::{relax, stamp};
use super::partner::{Activity, AtWork, others};
use super::record::Value;
use super::rivals::OWN;
use super::runner::{Bench, Case, Parts};
use crate::apic::local;
use crate::cpu::{self, interrupts};
use crate::irq::call;
use crate::irq::ipi::Targets;

/// Most samples.
const SAMPLES: usize = 2_000;

/// How many have answered.
static ANSWERED: AtomicU64 = AtomicU64::new(0);

extern "C" fn answer(_: usize, _: u8) {
    ANSWERED.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn run(bench: &mut Bench) {
    let count = others().count();
    if count == 0 {
        return bench.skip("broadcast", "there is no other CPU");
    }
    for other in others() {
        let taken = other.cpu.interrupts.install(OWN, answer, 0);
        assert!(taken, "the vector that is measured has another handler");
    }
    let overhead = bench.overhead;
    let param = [("cpus", Value::Number(count as u64 + 1))];
    let at_work = AtWork::begin(count, Activity::Polling);
    let parts: Parts<(u64, u64), 2> = [
        ("broadcast.all", |(all, _)| all),
        ("broadcast.sender", |(_, sender)| sender),
    ];
    bench.compare_parts(
        &parts,
        &param,
        SAMPLES,
        &mut [Case {
            variant: "tocsin",
            overhead,
            take: &mut || send(count as u64),
        }],
    );
    drop(at_work);
    let tables = || others().map(|other| &other.cpu.interrupts);
    tables().for_each(|table: &interrupts::Interrupts| table.begin_removal(OWN));
    // A call comes after the interrupts, whose class is the same: nothing is in service.
    let _ = call::run(Targets::Others, || {
        let _ = cpu::current();
    });
    tables().for_each(|table| table.end_removal(OWN));
}

/// Until all have answered, and what the sending alone took.
fn send(count: u64) -> (u64, u64) {
    ANSWERED.store(0, Ordering::Relaxed);
    let start = stamp();
    // Without a destination there is nothing that does not fit.
    let _ = local().send(Icr::fixed(OWN.get(), Destination::Others));
    let sent = stamp();
    while ANSWERED.load(Ordering::Acquire) < count {
        relax();
    }
    (stamp() - start, sent - start)
}
