//! Work put off, from the request until it runs: on an idle CPU, and on one that another CPU floods with
//! urgent interrupts.

use core::sync::atomic::{AtomicU64, Ordering};

use super::clock::stamp;
use super::partner::{Flood, Partner};
use super::record::Value;
use super::rivals::{Installed, OWN};
use super::runner::{Bench, Case};
use crate::irq::deferred;

/// When the work last began; 0 before.
static RAN: AtomicU64 = AtomicU64::new(0);

/// Most samples under the flood.
const FLOODED: usize = 1_000;

pub(super) fn run(bench: &mut Bench) {
    let _installed = Installed::new();
    let overhead = bench.overhead;
    let name = "deferred.run";
    bench.compare(
        name,
        &[("load", Value::Word("idle"))],
        &mut [Case {
            variant: "tocsin",
            overhead,
            take: &mut raise,
        }],
    );
    let Some(partner) = Partner::find() else {
        return bench.skip("deferred.run, load flood", "there is no other CPU");
    };
    let flood = Flood::begin(partner, OWN);
    bench.compare_few(
        name,
        &[("load", Value::Word("flood"))],
        FLOODED,
        &mut [Case {
            variant: "tocsin",
            overhead,
            take: &mut raise,
        }],
    );
    drop(flood);
}

extern "C" fn work(_: usize) {
    RAN.store(stamp(), Ordering::Relaxed);
}

fn raise() -> u64 {
    RAN.store(0, Ordering::Relaxed);
    let start = stamp();
    while deferred::defer(work, 0).is_err() {}
    loop {
        let ran = RAN.load(Ordering::Relaxed);
        if ran != 0 {
            return ran - start;
        }
    }
}
