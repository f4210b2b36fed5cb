//! The bring-up time of the other CPUs, measured when this machine booted.

use super::record::{About, Value};
use super::runner::Bench;
use tocsin::smp;

pub(super) fn run(bench: &mut Bench) {
    let Some(cpus) = smp::online().filter(|cpus| cpus.online.len() > 1) else {
        return bench.skip("bringup.cpus", "there is no other CPU");
    };
    let about = About {
        name: "bringup.cpus",
        variant: "tocsin",
        unit: "nanoseconds",
        param: &[("cpus", Value::Number(cpus.online.len() as u64))],
        overhead: 0,
        below_zero: 0,
    };
    bench.metric(about, &mut [cpus.duration]);
}
