//! What calls between CPUs cost.

use core::sync::atomic::{AtomicU64, Ordering};

use super::{sample, since};
use crate::cpu;
use crate::hw::processor::timestamp;
use crate::irq::call;
use crate::irq::ipi::Targets;
use crate::smp;

/// Cycles between two looks at the others' counters.
const LOOK: u64 = 2_000;

/// Figures by name: least, median, 99th percentile and greatest. Empty with one CPU.
pub(super) fn run(mut add: impl FnMut(&'static str, [u64; 4])) {
    let own = cpu::current().id();
    let online = smp::online().map_or(&[][..], |cpus| &cpus.online);
    let Some(other) = online.iter().find(|it| it.cpu.id() != own) else {
        return;
    };
    let other = other.cpu.id();
    add(
        "call to another CPU, and wait",
        sample(since(|| {
            // It is online.
            let _ = call::and_wait(other, nothing, 0);
        })),
    );
    let others = online.len() as u64 - 1;
    add(
        "  ... to all others, and wait",
        sample(since(|| {
            let _ = call::and_wait(Targets::Others, nothing, 0);
        })),
    );
    add(
        "  ... to all others, sending alone",
        sample(|| {
            let before = ANSWERED.load(Ordering::Relaxed);
            let start = timestamp();
            // Each CPU's last call is answered before the next is made: no mailbox is full.
            let _ = call::start(Targets::Others, answer, 0);
            let cycles = timestamp() - start;
            while ANSWERED.load(Ordering::Relaxed) - before < others {
                let start = timestamp();
                while timestamp() - start < LOOK {
                    core::hint::spin_loop();
                }
            }
            cycles
        }),
    );
}

static ANSWERED: AtomicU64 = AtomicU64::new(0);

extern "C" fn nothing(_: usize) {}

extern "C" fn answer(_: usize) {
    ANSWERED.fetch_add(1, Ordering::Relaxed);
}
