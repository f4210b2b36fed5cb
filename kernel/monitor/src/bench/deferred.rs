//! The latency of deferred work, from the request until it runs: on an idle CPU, and on a CPU that
//! a remote CPU floods with urgent interrupts. Where instructions are counted, the flood is not
//! measured: all CPUs share a thread of the emulator there, and the work has run before the other
//! CPU is scheduled.
//!
//! The floor baseline is only the interrupt that runs the work, without a list.

use crate::raw;
use alloc::collections::VecDeque;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::Mutex;

use super::baselines::{FLOOR, Installed, OWN, TYPICAL};
use super::clock::{Clock, stamp};
use super::flood::Flood;
use super::record::Value;
use super::remote::RemoteCpu;
use super::runner::Bench;
use super::self_ipi::bare_to_self;
use tocsin::deferred;
use tocsin::sync::without_interrupts;

/// The time at which the work last began; 0 before.
static RAN: AtomicU64 = AtomicU64::new(0);

/// The deferred work of the typical baseline.
static QUEUE: Mutex<VecDeque<extern "C" fn(usize)>> = Mutex::new(VecDeque::new());

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    Installed::set_typical(empty);
    QUEUE.lock().reserve(1);
    measure(bench, "idle", &installed);
    let flooded = "deferred.run, load flood";
    if bench.clock == Clock::Instructions {
        return bench.skip(
            flooded,
            "the work has run before the other CPU is scheduled",
        );
    }
    let Some(remote) = RemoteCpu::find() else {
        return bench.skip(flooded, "there is no other CPU");
    };
    let flood = Flood::begin(remote, OWN);
    measure(bench, "flood", &installed);
    drop(flood);
}

fn measure(bench: &mut Bench, load: &'static str, installed: &Installed) {
    let overhead = bench.overhead;
    let mut variants = installed.variants(
        overhead,
        raise,
        || bare_to_self(FLOOR).to_handler(),
        raise_typically,
    );
    let param = [("load", Value::Word(load))];
    bench.compare("deferred.run", &param, &mut variants);
}

extern "C" fn work(_: usize) {
    RAN.store(stamp(), Ordering::Relaxed);
}

fn raise() -> u64 {
    RAN.store(0, Ordering::Relaxed);
    let start = stamp();
    while deferred::defer(work, 0).is_err() {}
    wait() - start
}

/// The design of small kernels: a list under a lock, which the next interrupt's handler empties.
fn raise_typically() -> u64 {
    RAN.store(0, Ordering::Relaxed);
    let start = stamp();
    without_interrupts(|| QUEUE.lock().push_back(work));
    raw::send_to_self(TYPICAL);
    wait() - start
}

extern "C" fn empty(_: usize, _: u8) {
    loop {
        let Some(work) = QUEUE.lock().pop_front() else {
            return;
        };
        work(0);
    }
}

fn wait() -> u64 {
    loop {
        let ran = RAN.load(Ordering::Relaxed);
        if ran != 0 {
            return ran;
        }
    }
}
