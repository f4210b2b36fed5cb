//! An interrupt to another CPU: until its handler begins, and until the sender has its answer.

use crate::raw;
use core::sync::atomic::Ordering;

use tocsin_logic::vector::Vector;

use super::clock::{relax, stamp};
use super::partner::{Activity, AtWork, Partner};
use super::record::Value;
use super::rivals;
use super::rivals::{BEGAN, FLOOR, Installed, OWN, TYPICAL};
use super::runner::{Bench, Parts};
use tocsin::apic::local;

const PARTS: Parts<(u64, u64), 2> = [
    ("ipi.one_way", |(one_way, _)| one_way),
    ("ipi.round_trip", |(_, round_trip)| round_trip),
];

/// How long a CPU that is to sleep is left alone before each sample, in cycles: the emulator's thread of
/// that CPU goes to sleep too, and that takes a while.
const REST: u64 = 100_000;

pub(super) fn run(bench: &mut Bench) {
    let Some(partner) = Partner::find() else {
        return bench.skip("ipi", "there is no other CPU");
    };
    let installed = Installed::new();
    let taken = raw::install(partner.0.cpu, OWN, rivals::note, 0);
    assert!(taken, "the vector that is measured has another handler");
    for (target, activity) in [
        ("polling", Activity::Polling),
        ("busy", Activity::Busy),
        ("halted", Activity::Halted),
    ] {
        let _at_work = AtWork::begin(1, activity);
        measure(bench, partner, (target, activity), &installed);
    }
    remove_from(partner);
}

fn measure(
    bench: &mut Bench,
    partner: Partner,
    (target, activity): (&'static str, Activity),
    installed: &Installed,
) {
    let overhead = bench.overhead;
    let param = [("target", Value::Word(target))];
    let send = |vector| {
        if activity == Activity::Halted {
            rest();
        }
        send(partner, vector)
    };
    let mut ways = installed.ways(overhead, || send(OWN), || send(FLOOR), || send(TYPICAL));
    bench.compare_parts(&PARTS, &param, &mut ways);
}

fn rest() {
    let begin = stamp();
    while stamp() - begin < REST {
        relax();
    }
}

/// Sends, and waits for the handler's stamp: how long until it began, and until this CPU saw it.
fn send(partner: Partner, vector: Vector) -> (u64, u64) {
    BEGAN.store(0, Ordering::Relaxed);
    let start = stamp();
    // It is online.
    // SAFETY: the vector has a handler, which is a measurement's.
    let _ = unsafe { local().send(partner.command(vector)) };
    let began = loop {
        let began = BEGAN.load(Ordering::Acquire);
        if began != 0 {
            break began;
        }
        relax();
    };
    let end = stamp();
    // The counters of two CPUs may differ by a little, so that it is below 0.
    (began.wrapping_sub(start), end - start)
}

/// Takes the handler from the partner's table.
pub(super) fn remove_from(partner: Partner) {
    raw::begin_removal(partner.0.cpu, OWN);
    // A call to the CPU comes after the interrupt, whose class is the same: nothing is in service.
    let _ = tocsin::ipi::call::run(partner.id(), || ());
    raw::end_removal(partner.0.cpu, OWN);
}
