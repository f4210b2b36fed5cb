//! An interrupt flood: a remote CPU sends interrupts to this CPU as fast as it can.

use crate::raw;
use core::arch::asm;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use tocsin_logic::apic::ApicId;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::vector::Vector;

use super::clock::{pauses, relax};
use super::remote::{self, FACTOR, RemoteCpu, RemoteJobs};
use super::remote_handlers::HANDLED;
use tocsin::apic::local;

/// The vector to send, and the APIC ID of the target.
static VECTOR: AtomicU8 = AtomicU8::new(0);
static TARGET: AtomicU32 = AtomicU32::new(0);

/// Odd while the remote CPU must send interrupts.
static ORDER: AtomicU64 = AtomicU64::new(0);

/// The last value of [`ORDER`] that the remote CPU read. It is written after all interrupts of
/// earlier orders have been sent.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// The number of loop iterations after the last interrupt was sent, for one that is still in
/// transit.
const TAIL: u64 = 1_000;

/// A remote CPU that is ready to send, until this is dropped.
#[derive(Debug)]
pub(super) struct Flood {
    _jobs: RemoteJobs,
}

impl Flood {
    /// Prepares the remote CPU, which sends no interrupt yet.
    pub(super) fn prepare(_: RemoteCpu) -> Self {
        TARGET.store(local().id().0, Ordering::Relaxed);
        ORDER.store(0, Ordering::Relaxed);
        SEEN.store(0, Ordering::Relaxed);
        Self {
            _jobs: RemoteJobs::with(1, send),
        }
    }

    /// Starts a flood of `vector`, which ends when this is dropped.
    pub(super) fn begin(remote: RemoteCpu, vector: Vector) -> Self {
        let this = Self::prepare(remote);
        VECTOR.store(vector.get(), Ordering::Relaxed);
        ORDER.store(1, Ordering::Release);
        this
    }
}

/// The result of [`work`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Worked {
    /// From the start of the flood to the last iteration, in cycles.
    pub(super) cycles: u64,
    /// The number of interrupts that were counted in [`HANDLED`] during that time.
    pub(super) handled: u64,
}

/// Computes for `turns` iterations. With a flood in `under`, the vector is sent from before the
/// first iteration to the last, and at no other time. The baselines may handle it.
pub(super) fn work(iterations: u64, under: Option<(&Flood, Vector)>) -> Worked {
    let step = if let Some((_, vector)) = under {
        VECTOR.store(vector.get(), Ordering::Relaxed);
        1_u64
    } else {
        // The remote CPU may not have read the last order.
        SEEN.store(ORDER.load(Ordering::Relaxed), Ordering::Relaxed);
        0
    };
    let (start, before, end, after): (u64, u64, u64, u64);
    // SAFETY: The code writes only registers and the order, which belongs to this CPU; it only
    // reads the other variables. All registers that an interrupt may change are declared. No
    // interrupt arrives before the first line or after the last. Interrupts are disabled only
    // around the TSC reads, and are enabled before.
    unsafe {
        asm!(
            "add [rip + {order}], {step}",
            "mov {value}, [rip + {order}]",
            "7: test {pauses:e}, {pauses:e}", "je 8f", "pause",
            "8: cmp [rip + {seen}], {value}", "jne 7b",
            "cli",
            "mov {before}, [rip + {handled}]",
            "rdtsc", "shl rdx, 32", "or rax, rdx", "mov {start}, rax",
            "sti",
            "2: imul {value}, {factor}", "rol {value}, 7",
            "test {pauses:e}, {pauses:e}", "je 3f", "pause",
            "3: dec {iterations}", "jnz 2b",
            "cli",
            "rdtsc", "shl rdx, 32", "or rax, rdx", "mov {end}, rax",
            "mov {after}, [rip + {handled}]",
            "sti",
            "add [rip + {order}], {step}",
            "mov {value}, [rip + {order}]",
            "4: test {pauses:e}, {pauses:e}", "je 5f", "pause",
            "5: cmp [rip + {seen}], {value}", "jne 4b",
            "mov {iterations:e}, {tail}",
            "6: dec {iterations}", "jnz 6b",
            order = sym ORDER,
            seen = sym SEEN,
            handled = sym HANDLED,
            tail = const TAIL,
            step = in(reg) step,
            value = inout(reg) 1_u64 => _,
            factor = in(reg) FACTOR,
            pauses = in(reg) u32::from(pauses()),
            iterations = inout(reg) iterations.max(1) => _,
            start = out(reg) start,
            before = out(reg) before,
            end = out(reg) end,
            after = out(reg) after,
            out("rax") _, out("rcx") _, out("rdx") _,
        );
    }
    Worked {
        cycles: end - start,
        handled: after - before,
    }
}

/// The loop of the remote CPU.
fn send(_: u64) {
    remote::mark_ready();
    let target = Destination::Physical(ApicId(TARGET.load(Ordering::Relaxed)));
    while remote::must_run() {
        let order = ORDER.load(Ordering::Acquire);
        if order % 2 == 1 {
            // Cannot fail: the target is online.
            let _ = raw::send(Vector(VECTOR.load(Ordering::Relaxed)), target);
        }
        SEEN.store(order, Ordering::Release);
        relax();
    }
}
