//! Interrupts a second, and what a flood from another CPU leaves to a thread.

use super::clock::{Clock, stamp};
use super::flood::{self, Flood};
use super::partner::Partner;
use super::record::{About, Parameter, Value};
use super::rivals::{FLOOR, Installed, OWN, TYPICAL};
use super::runner::{Bench, Case};
use super::self_ipi::{bare_to_self, to_self};
use crate::time;

/// Interrupts of one sample.
const BURST: u64 = 100;

/// Turns of the thread's work in a sample, as long as many interrupts; and where instructions are counted,
/// and every turn lets the other CPU run.
const WORK: u64 = 20_000;
const COUNTED: u64 = 1_000;

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    let own = || {
        to_self(OWN);
    };
    let floor = || {
        bare_to_self(FLOOR);
    };
    let typical = || {
        to_self(TYPICAL);
    };
    let mut ways = installed.ways(0, || burst(own), || burst(floor), || burst(typical));
    show(bench, "throughput.self_ipi", &[], &mut ways);
    let name = "throughput.thread_left";
    let load = [("load", Value::Word("idle"))];
    let turns = match bench.clock {
        Clock::Cycles => WORK,
        Clock::Instructions => COUNTED,
    };
    let alone = || rate(turns, || flood::work(turns, None));
    show(bench, name, &load, &mut [Case::new("tocsin", 0, alone)]);
    let Some(partner) = Partner::find() else {
        let why = "there is no other CPU";
        return bench.skip("throughput.thread_left, load flood", why);
    };
    let flooder = Flood::prepare(partner);
    let left = |vector| rate(turns, || flood::work(turns, Some((&flooder, vector))));
    let mut ways = installed.ways(0, || left(OWN), || left(FLOOR), || left(TYPICAL));
    let load = [("load", Value::Word("flood"))];
    show(bench, name, &load, &mut ways);
}

fn show(bench: &mut Bench, name: &str, param: &[Parameter], cases: &mut [Case<'_>]) {
    let all = bench.take(cases);
    for (case, mut rates) in cases.iter().zip(all) {
        let about = About {
            name,
            variant: case.variant,
            unit: "per_second",
            param,
            overhead: 0,
            below_zero: 0,
        };
        bench.figure(about, &mut rates);
    }
}

/// How many a second, if they are sent one after the other.
fn burst(send: impl Fn()) -> u64 {
    rate(BURST, || (0..BURST).for_each(|_| send()))
}

/// How often a second something is done that `action` does `count` times.
fn rate(count: u64, action: impl FnOnce()) -> u64 {
    let start = stamp();
    action();
    let cycles = (stamp() - start).max(1);
    let rate = u128::from(count) * u128::from(time::frequency().hertz) / u128::from(cycles);
    u64::try_from(rate).unwrap_or(u64::MAX)
}
