//! The latency of an interrupt to all other CPUs, until all have taken it: of a barrier, which has
//! entry code of its own; of an interrupt with a handler, by destination shorthand; and of one to
//! each CPU in turn, which is used where shorthands would reach CPUs that the kernel does not own.

use crate::raw;
use alloc::format;
use core::sync::atomic::Ordering;

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::smp::Broadcast;
use tocsin_logic::vector::Vector;

use super::baselines::{self, FLOOR, Installed, OWN, TYPICAL};
use super::clock::stamp;
use super::record::Value;
use super::remote::{self, Activity, RemoteJobs};
use super::remote_handlers::{HANDLED, count, counting_floor, wait_for};
use super::runner::{Bench, Case, Parts};
use tocsin::ipi::{Targets, barrier, call};
use tocsin::{cpu, smp};

pub(super) fn run(bench: &mut Bench) {
    let others = remote::others().count();
    if others == 0 {
        return bench.skip("broadcast", "there is no other CPU");
    }
    for other in remote::others() {
        let taken = raw::install(other.cpu, OWN, count, 0);
        assert!(taken, "the measured vector has another handler");
    }
    let overhead = bench.overhead;
    let param = [("cpus", Value::Number(others as u64 + 1))];
    let installed = Installed::new();
    Installed::set_entry(counting_floor(), baselines::typical_address());
    Installed::set_typical(count);
    let jobs = RemoteJobs::begin(others, Activity::Polling);
    let count = others as u64;
    if let Broadcast::EachCpu(reason) = smp::broadcast() {
        bench.skip("broadcast.all", &format!("no shorthands: {reason}"));
    } else {
        let all = |vector: Vector| measure(count, || by_shorthand(vector)).0;
        let mut variants =
            installed.variants(overhead, wait_at_barrier, || all(FLOOR), || all(TYPICAL));
        bench.compare("broadcast.all", &param, &mut variants);
        let parts: Parts<(u64, u64), 2> = [
            ("broadcast.handlers", |(all, _)| all),
            ("broadcast.sender", |(_, sender)| sender),
        ];
        let send = |vector: Vector| measure(count, || by_shorthand(vector));
        let mut variants =
            installed.variants(overhead, || send(OWN), || send(FLOOR), || send(TYPICAL));
        bench.compare_parts(&parts, &param, &mut variants);
    }
    let parts: Parts<(u64, u64), 2> = [
        ("broadcast.each_all", |(all, _)| all),
        ("broadcast.each_sender", |(_, sender)| sender),
    ];
    let in_turn = || measure(count, || raw::send_to_others_in_turn(OWN));
    let mut variants = [Case::new("tocsin", overhead, in_turn)];
    bench.compare_parts(&parts, &param, &mut variants);
    drop(jobs);
    let cpus = || remote::others().map(|other| other.cpu);
    cpus().for_each(|cpu| raw::begin_removal(cpu, OWN));
    // The call has the same class as the interrupts and is delivered after them, so none is in
    // service when it returns.
    let _ = call::run(Targets::Others, || {
        let _ = cpu::current();
    });
    cpus().for_each(|cpu| raw::end_removal(cpu, OWN));
}

/// Returns the duration of a barrier with all other CPUs.
#[inline]
fn wait_at_barrier() -> u64 {
    let start = stamp();
    // Cannot fail: all other CPUs are online.
    let _ = barrier::wait(Targets::Others);
    stamp() - start
}

/// Returns the time until all CPUs have handled the interrupt, and the time of the send alone.
#[inline]
fn measure(count: u64, send: impl FnOnce()) -> (u64, u64) {
    HANDLED.store(0, Ordering::Relaxed);
    let start = stamp();
    send();
    let done = stamp();
    wait_for(count);
    (stamp() - start, done - start)
}

#[inline]
fn by_shorthand(vector: Vector) {
    // Cannot fail: a shorthand has no destination that could be out of range.
    let _ = raw::send(vector, Destination::Others);
}
