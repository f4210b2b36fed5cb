//! The latency of an IPI to a remote CPU: until its handler begins, and until the sender sees the
//! reply.

use crate::raw;
use core::sync::atomic::Ordering;

use tocsin_logic::vector::Vector;

use super::baselines;
use super::baselines::{BEGAN, FLOOR, Installed, OWN, TYPICAL};
use super::clock::{relax, stamp};
use super::record::Value;
use super::remote::{Activity, RemoteCpu, RemoteJobs};
use super::runner::{Bench, Parts};
use tocsin::apic::local;

const PARTS: Parts<(u64, u64), 2> = [
    ("ipi.one_way", |(one_way, _)| one_way),
    ("ipi.round_trip", |(_, round_trip)| round_trip),
];

/// The time before each sample in which a CPU that must be halted gets no interrupt, in cycles. The
/// emulator's thread of that CPU needs this time to sleep too.
const REST: u64 = 100_000;

pub(super) fn run(bench: &mut Bench) {
    let Some(remote) = RemoteCpu::find() else {
        return bench.skip("ipi", "there is no other CPU");
    };
    let installed = Installed::new();
    let taken = raw::install(remote.0.cpu, OWN, baselines::note, 0);
    assert!(taken, "the measured vector has another handler");
    for (target, activity) in [
        ("polling", Activity::Polling),
        ("busy", Activity::Busy),
        ("halted", Activity::Halted),
    ] {
        let _jobs = RemoteJobs::begin(1, activity);
        measure(bench, remote, (target, activity), &installed);
    }
    remove_from(remote);
}

fn measure(
    bench: &mut Bench,
    remote: RemoteCpu,
    (target, activity): (&'static str, Activity),
    installed: &Installed,
) {
    let overhead = bench.overhead;
    let param = [("target", Value::Word(target))];
    let send = |vector| {
        if activity == Activity::Halted {
            rest();
        }
        send(remote, vector)
    };
    let mut variants = installed.variants(overhead, || send(OWN), || send(FLOOR), || send(TYPICAL));
    bench.compare_parts(&PARTS, &param, &mut variants);
}

fn rest() {
    let begin = stamp();
    while stamp() - begin < REST {
        relax();
    }
}

/// Sends an IPI, and waits for the handler's timestamp. Returns the time until the handler began,
/// and the time until this CPU saw the timestamp.
fn send(remote: RemoteCpu, vector: Vector) -> (u64, u64) {
    BEGAN.store(0, Ordering::Relaxed);
    let start = stamp();
    // Cannot fail: the target is online.
    // SAFETY: The vector has a handler, which is that of a measurement.
    let _ = unsafe { local().send(remote.command(vector)) };
    let began = loop {
        let began = BEGAN.load(Ordering::Acquire);
        if began != 0 {
            break began;
        }
        relax();
    };
    let end = stamp();
    // The counters of two CPUs may differ slightly, so the first result can be below 0.
    (began.wrapping_sub(start), end - start)
}

/// Removes the handler from the remote CPU's table.
pub(super) fn remove_from(remote: RemoteCpu) {
    raw::begin_removal(remote.0.cpu, OWN);
    // The call has the same class as the interrupt and is delivered after it, so no interrupt is in
    // service when it returns.
    let _ = tocsin::ipi::call::run(remote.id(), || ());
    raw::end_removal(remote.0.cpu, OWN);
}
