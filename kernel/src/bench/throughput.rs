//! Interrupts a second, and what a flood from another CPU leaves to a thread.

use super::clock::stamp;
use super::partner::{Flood, Partner};
use super::record::Value;
use super::rivals::{FLOOR, Installed, OWN, TYPICAL};
use super::runner::{About, Bench};
use super::self_ipi::{bare_to_self, to_self};
use crate::time;

/// Interrupts of one sample.
const BURST: u64 = 1_000;

/// Samples.
const SAMPLES: usize = 20;

/// Turns of the thread's work in a sample.
const WORK: u64 = 100_000;

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    let mut ways: [(&str, &dyn Fn()); 3] = [
        ("tocsin", &|| {
            to_self(OWN);
        }),
        ("floor", &|| {
            bare_to_self(FLOOR);
        }),
        ("typical", &|| {
            to_self(TYPICAL);
        }),
    ];
    let count = if installed.no_typical.is_some() { 2 } else { 3 };
    for (variant, send) in &mut ways[..count] {
        let mut rates: [u64; SAMPLES] = core::array::from_fn(|_| {
            rate(BURST, || {
                for _ in 0..BURST {
                    send();
                }
            })
        });
        show(bench, "throughput.self_ipi", variant, &[], &mut rates);
    }
    let name = "throughput.thread_left";
    let mut alone: [u64; SAMPLES] = core::array::from_fn(|_| rate(WORK, work));
    let idle = [("load", Value::Word("idle"))];
    show(bench, name, "tocsin", &idle, &mut alone);
    let Some(partner) = Partner::find() else {
        return bench.skip(
            "throughput.thread_left, load flood",
            "there is no other CPU",
        );
    };
    let flood = Flood::begin(partner, OWN);
    let mut flooded: [u64; SAMPLES] = core::array::from_fn(|_| rate(WORK, work));
    drop(flood);
    let load = [("load", Value::Word("flood"))];
    show(bench, name, "tocsin", &load, &mut flooded);
}

fn show(
    bench: &mut Bench,
    name: &str,
    variant: &str,
    param: &[(&'static str, Value)],
    rates: &mut [u64],
) {
    let about = About {
        name,
        variant,
        unit: "per_second",
        param,
        overhead: 0,
    };
    bench.figure(about, rates);
}

/// How often a second something is done that `action` does `count` times.
fn rate(count: u64, action: impl FnOnce()) -> u64 {
    let start = stamp();
    action();
    let cycles = (stamp() - start).max(1);
    let rate = u128::from(count) * u128::from(time::frequency().hertz) / u128::from(cycles);
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// What the thread does: it counts.
fn work() {
    for turn in 0..WORK {
        core::hint::black_box(turn);
        super::clock::relax();
    }
}
