//! The latency of a function call on remote CPUs, until it has returned there.

use core::sync::atomic::Ordering;

use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::smp::Broadcast;
use tocsin_logic::vector::Vector;

use super::baselines::{self, FLOOR, Installed, TYPICAL};
use super::clock::stamp;
use super::record::Value;
use super::remote::{Activity, RemoteCpu, RemoteJobs, others};
use super::remote_handlers::{
    self, HANDLED, calling_floor, counting_floor, flush, nothing, set_call, wait_for,
};
use super::runner::Bench;
use tocsin::apic::local;
use tocsin::ipi::{Targets, call, tlb};
use tocsin::smp;

pub(super) fn run(bench: &mut Bench) {
    let Some(remote) = RemoteCpu::find() else {
        return bench.skip("call.wait", "there is no other CPU");
    };
    let installed = Installed::new();
    Installed::set_typical(remote_handlers::call);
    let overhead = bench.overhead;
    let target = remote.id();
    {
        // Only the called CPU polls: other polling CPUs would compete with it for the host's CPUs.
        let _polling = RemoteJobs::begin(1, Activity::Polling);
        // The floor baseline only increments the counter, which measures the minimum round trip.
        Installed::set_entry(counting_floor(), baselines::typical_address());
        set_call(nothing);
        let mut variants = installed.variants(
            overhead,
            move || {
                let start = stamp();
                // Cannot fail: the target is online.
                let _ = call::sync(target, nothing, 0);
                stamp() - start
            },
            || sent(remote.command(FLOOR), 1),
            || sent(remote.command(TYPICAL), 1),
        );
        let param = [("cpus", Value::Number(2))];
        bench.compare("call.wait", &param, &mut variants);
    }
    let count = others().count() as u64;
    let _polling = RemoteJobs::begin(count as usize, Activity::Polling);
    Installed::set_entry(calling_floor(flush), baselines::typical_address());
    set_call(flush);
    let page = remote_handlers::page();
    let to_all = |vector: Vector| Icr::fixed(vector.get(), Destination::Others);
    let mut variants = installed.variants(
        overhead,
        || {
            let start = stamp();
            // Cannot fail: all targets are online.
            let _ = tlb::flush(&page, Targets::Others);
            stamp() - start
        },
        || sent(to_all(FLOOR), count),
        || sent(to_all(TYPICAL), count),
    );
    if smp::broadcast() != Broadcast::Shorthand {
        // The baselines' interrupt would reach CPUs that are not online.
        variants.truncate(1);
    }
    let param = [("cpus", Value::Number(count + 1))];
    bench.compare("tlb.shootdown", &param, &mut variants);
}

/// Returns the time from the send of the baselines' interrupt until `count` CPUs have called the
/// function.
fn sent(command: Icr, count: u64) -> u64 {
    HANDLED.store(0, Ordering::Relaxed);
    let start = stamp();
    // SAFETY: The vectors are those of `baselines`, which have handlers. The CPUs are online.
    let _ = unsafe { local().send(command) };
    wait_for(count);
    stamp() - start
}
