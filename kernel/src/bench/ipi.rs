//! An interrupt to another CPU: until its handler begins, and until the sender has its answer.

use core::sync::atomic::Ordering;

use tocsin_logic::vector::Vector;

use super::clock::{relax, stamp};
use super::partner::{Activity, AtWork, Partner};
use super::record::Value;
use super::rivals;
use super::rivals::{BEGAN, FLOOR, Installed, OWN, TYPICAL};
use super::runner::{Bench, Case, Parts};
use crate::apic::local;
use crate::cpu::interrupts;

const PARTS: Parts<(u64, u64), 2> = [
    ("ipi.one_way", |(one_way, _)| one_way),
    ("ipi.round_trip", |(_, round_trip)| round_trip),
];

/// Most samples to a CPU that sleeps: the host has to wake a thread for each.
const HALTED: usize = 2_000;

pub(super) fn run(bench: &mut Bench) {
    let Some(partner) = Partner::find() else {
        return bench.skip("ipi", "there is no other CPU");
    };
    let installed = Installed::new();
    let table = &partner.0.cpu.interrupts;
    let taken = table.install(OWN, rivals::note, 0);
    assert!(taken, "the vector that is measured has another handler");
    {
        // The floor changes registers: only where the target waits for that.
        let _polling = AtWork::begin(1, Activity::Polling);
        let cases = installed.variants();
        measure(bench, partner, "polling", usize::MAX, cases);
    }
    {
        let _busy = AtWork::begin(1, Activity::Busy);
        measure(bench, partner, "busy", usize::MAX, 1);
    }
    measure(bench, partner, "halted", HALTED, 1);
    remove_from(partner, table);
}

fn measure(bench: &mut Bench, partner: Partner, target: &'static str, most: usize, cases: usize) {
    let overhead = bench.overhead;
    let param = [("target", Value::Word(target))];
    let mut all = [
        Case {
            variant: "tocsin",
            overhead,
            take: &mut || send(partner, OWN),
        },
        Case {
            variant: "floor",
            overhead,
            take: &mut || send(partner, FLOOR),
        },
        Case {
            variant: "typical",
            overhead,
            take: &mut || send(partner, TYPICAL),
        },
    ];
    bench.compare_parts(&PARTS, &param, most, &mut all[..cases]);
}

/// Sends, and waits for the handler's stamp: how long until it began, and until this CPU saw it.
fn send(partner: Partner, vector: Vector) -> (u64, u64) {
    BEGAN.store(0, Ordering::Relaxed);
    let start = stamp();
    // It is online.
    let _ = local().send(partner.command(vector));
    let began = loop {
        let began = BEGAN.load(Ordering::Acquire);
        if began != 0 {
            break began;
        }
        relax();
    };
    let end = stamp();
    // The counters of two CPUs may differ by a little.
    (began.saturating_sub(start), end - start)
}

/// Takes the handler from the partner's table.
pub(super) fn remove_from(partner: Partner, table: &interrupts::Interrupts) {
    table.begin_removal(OWN);
    // A call to the CPU comes after the interrupt, whose class is the same: nothing is in service.
    let _ = crate::irq::call::run(partner.id(), || ());
    table.end_removal(OWN);
}
