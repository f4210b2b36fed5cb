//! The rate of self-IPIs, and a flood from a remote CPU: the rate of delivered interrupts, and the
//! CPU time that they leave to a thread.

use crate::raw;
use alloc::vec::Vec;

use tocsin_logic::bench::median;
use tocsin_logic::vector::Vector;

use super::baselines::{self, FLOOR, Installed, OWN, TYPICAL};
use super::clock::{Clock, stamp};
use super::flood::{self, Flood, Worked};
use super::record::{About, Parameter, Value};
use super::remote::RemoteCpu;
use super::remote_handlers;
use super::runner::{Bench, Case};
use super::self_ipi::{bare_to_self, to_self};
use tocsin::cpu;
use tocsin::time;

/// The number of interrupts in one sample.
const BURST: u64 = 100;

/// The number of iterations of the thread's work in a sample. `WORK` takes as long as many
/// interrupts, of which one takes about 10 us where an emulator sends it. `COUNTED` is for a clock
/// that counts instructions, where every iteration lets the other CPU run.
const WORK: u64 = 100_000;
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
    let mut variants = installed.variants(0, || burst(own), || burst(floor), || burst(typical));
    let all = bench.take(&mut variants);
    for (case, mut rates) in variants.iter().zip(all) {
        let name = "throughput.self_ipi";
        metric(bench, name, case.variant, "per_second", &[], &mut rates);
    }
    drop(variants);
    thread_left(bench, &installed);
}

/// Measures the iterations of a thread in a second of its own work: without other load, and under a
/// flood. The flood lasts from before the first iteration to the last, and its interrupts are
/// counted in their handlers.
fn thread_left(bench: &mut Bench, installed: &Installed) {
    let name = "throughput.thread_left";
    let iterations = match bench.clock {
        Clock::Cycles => WORK,
        Clock::Instructions => COUNTED,
    };
    let alone = || work(iterations, None).0;
    let mut alone = bench.take(&mut [Case::new("tocsin", 0, alone)]);
    let mut alone = alone.pop().unwrap_or_default();
    let idle = [("load", Value::Word("idle"))];
    metric(bench, name, "tocsin", "per_second", &idle, &mut alone);
    let whole = median(&mut alone).max(1);
    let Some(remote) = RemoteCpu::find() else {
        let why = "there is no other CPU";
        return bench.skip("throughput.thread_left, load flood", why);
    };
    let _ = raw::exchange(cpu::current(), OWN, remote_handlers::count);
    Installed::set_typical(remote_handlers::count);
    Installed::set_entry(
        remote_handlers::counting_floor(),
        baselines::typical_address(),
    );
    let flooder = Flood::prepare(remote);
    let left = |vector| work(iterations, Some((&flooder, vector)));
    let mut variants = installed.variants(0, || left(OWN), || left(FLOOR), || left(TYPICAL));
    let all = bench.take(&mut variants);
    let flood = [("load", Value::Word("flood"))];
    let metrics: [(_, _, &dyn Fn(Flooded) -> u64); 3] = [
        (name, "per_second", &|it| it.0),
        ("throughput.thread_share", "percent", &|it| {
            100 * it.0 / whole
        }),
        ("throughput.delivered", "per_second", &|it| it.1),
    ];
    for (name, unit, part) in metrics {
        for (case, samples) in variants.iter().zip(&all) {
            let mut samples: Vec<u64> = samples.iter().copied().map(part).collect();
            metric(bench, name, case.variant, unit, &flood, &mut samples);
        }
    }
}

/// The iterations of the thread's work, and the delivered interrupts, per second.
type Flooded = (u64, u64);

fn work(iterations: u64, under: Option<(&Flood, Vector)>) -> Flooded {
    let Worked { cycles, handled } = flood::work(iterations, under);
    (per_second(iterations, cycles), per_second(handled, cycles))
}

fn metric(
    bench: &mut Bench,
    name: &str,
    variant: &str,
    unit: &str,
    param: &[Parameter],
    samples: &mut [u64],
) {
    let about = About {
        name,
        variant,
        unit,
        param,
        overhead: 0,
        below_zero: 0,
    };
    bench.metric(about, samples);
}

/// Returns the rate per second of interrupts that are sent one after the other.
fn burst(send: impl Fn()) -> u64 {
    let start = stamp();
    (0..BURST).for_each(|_| send());
    per_second(BURST, stamp() - start)
}

/// Converts `count` events in `cycles` to a rate per second.
fn per_second(count: u64, cycles: u64) -> u64 {
    let rate = u128::from(count) * u128::from(time::frequency().hertz) / u128::from(cycles.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}
