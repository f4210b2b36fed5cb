//! A function called on other CPUs, until it has returned there.

use core::sync::atomic::Ordering;

use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::smp::Broadcast;
use tocsin_logic::vector::Vector;

use super::answers::{
    self, ANSWERED, floor_that_calls, floor_that_counts, flush, nothing, set_call, wait_for,
};
use super::clock::stamp;
use super::partner::{Activity, AtWork, Partner, others};
use super::record::Value;
use super::rivals::{self, FLOOR, Installed, TYPICAL};
use super::runner::Bench;
use tocsin::apic::local;
use tocsin::ipi::{Targets, call};
use tocsin::smp;

pub(super) fn run(bench: &mut Bench) {
    let Some(partner) = Partner::find() else {
        return bench.skip("call.wait", "there is no other CPU");
    };
    let installed = Installed::new();
    Installed::set_typical(answers::call);
    let overhead = bench.overhead;
    let target = partner.id();
    {
        // Only who is called: others that spin would take the host's CPUs from it.
        let _polling = AtWork::begin(1, Activity::Polling);
        // The floor only answers: what it takes to be there and back.
        Installed::lead(floor_that_counts(), rivals::typical_here());
        set_call(nothing);
        let mut ways = installed.ways(
            overhead,
            move || {
                let start = stamp();
                // It is online.
                let _ = call::and_wait(target, nothing, 0);
                stamp() - start
            },
            || sent(partner.command(FLOOR), 1),
            || sent(partner.command(TYPICAL), 1),
        );
        let param = [("cpus", Value::Number(2))];
        bench.compare("call.wait", &param, &mut ways);
    }
    let count = others().count() as u64;
    let _polling = AtWork::begin(count as usize, Activity::Polling);
    Installed::lead(floor_that_calls(flush), rivals::typical_here());
    set_call(flush);
    let to_all = |vector: Vector| Icr::fixed(vector.get(), Destination::Others);
    let mut ways = installed.ways(
        overhead,
        || {
            let start = stamp();
            // All are online.
            let _ = call::and_wait(Targets::Others, flush, 0);
            stamp() - start
        },
        || sent(to_all(FLOOR), count),
        || sent(to_all(TYPICAL), count),
    );
    if smp::broadcast() != Broadcast::Shorthand {
        // The baselines' interrupt would reach CPUs that are not online.
        ways.truncate(1);
    }
    let param = [("cpus", Value::Number(count + 1))];
    bench.compare("tlb.shootdown", &param, &mut ways);
}

/// From the sending of the rivals' interrupt until so many have called the function.
fn sent(command: Icr, count: u64) -> u64 {
    ANSWERED.store(0, Ordering::Relaxed);
    let start = stamp();
    // SAFETY: the vectors are those of `rivals`, which have handlers. The CPUs are online.
    let _ = unsafe { local().send(command) };
    wait_for(count);
    stamp() - start
}
