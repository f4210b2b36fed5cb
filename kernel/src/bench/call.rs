//! A function called on other CPUs, until it has returned there.

use super::clock::stamp;
use super::partner::{Activity, AtWork, Partner, others};
use super::record::Value;
use super::runner::{Bench, Case};
use crate::irq::call;
use crate::irq::ipi::Targets;

/// Most samples of calls to all.
const TO_ALL: usize = 2_000;

pub(super) fn run(bench: &mut Bench) {
    let Some(partner) = Partner::find() else {
        return bench.skip("call.wait", "there is no other CPU");
    };
    let overhead = bench.overhead;
    let target = partner.id();
    let count = others().count();
    {
        // Only who is called: others that spin would take the host's CPUs from it.
        let _polling = AtWork::begin(1, Activity::Polling);
        bench.compare(
            "call.wait",
            &[("cpus", Value::Number(2))],
            &mut [Case {
                variant: "tocsin",
                overhead,
                take: &mut move || {
                    let start = stamp();
                    // It is online.
                    let _ = call::and_wait(target, nothing, 0);
                    stamp() - start
                },
            }],
        );
    }
    let _polling = AtWork::begin(count, Activity::Polling);
    let all = [("cpus", Value::Number(count as u64 + 1))];
    bench.compare_few(
        "tlb.shootdown",
        &all,
        TO_ALL,
        &mut [Case {
            variant: "tocsin",
            overhead,
            take: &mut || {
                let start = stamp();
                // All are online.
                let _ = call::and_wait(Targets::Others, flush, 0);
                stamp() - start
            },
        }],
    );
}

extern "C" fn nothing(_: usize) {}

/// Takes one address from the CPU's translations: one of the measurements' own data.
extern "C" fn flush(_: usize) {
    static DATA: u64 = 0;
    x86_64::instructions::tlb::flush(x86_64::VirtAddr::from_ptr(&raw const DATA));
}
