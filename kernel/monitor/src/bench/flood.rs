//! Interrupts that another CPU sends this one, as fast as it can.

use crate::raw;
use core::arch::asm;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use tocsin_logic::apic::ApicId;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::vector::Vector;

use super::answers::ANSWERED;
use super::clock::{pauses, relax};
use super::partner::{self, AtWork, FACTOR, Partner};
use tocsin::apic::local;

/// What is sent, and where to.
static VECTOR: AtomicU8 = AtomicU8::new(0);
static TARGET: AtomicU32 = AtomicU32::new(0);

/// Odd while interrupts are to be sent.
static ORDER: AtomicU64 = AtomicU64::new(0);

/// The order that was last seen, when all that earlier ones asked for has been sent.
static SEEN: AtomicU64 = AtomicU64::new(0);

/// Turns of waiting after the last interrupt was sent, for one that is still on its way.
const TAIL: u64 = 1_000;

/// Another CPU that is ready to send, until this is dropped.
#[derive(Debug)]
pub(super) struct Flood {
    _at_work: AtWork,
}

impl Flood {
    /// It sends nothing yet.
    pub(super) fn prepare(_: Partner) -> Self {
        TARGET.store(local().id().0, Ordering::Relaxed);
        ORDER.store(0, Ordering::Relaxed);
        SEEN.store(0, Ordering::Relaxed);
        Self {
            _at_work: AtWork::with(1, send),
        }
    }

    /// It sends `vector` until this is dropped.
    pub(super) fn begin(partner: Partner, vector: Vector) -> Self {
        let this = Self::prepare(partner);
        VECTOR.store(vector.get(), Ordering::Relaxed);
        ORDER.store(1, Ordering::Release);
        this
    }
}

/// What [`work`] took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worked {
    /// In cycles, from when the flood had begun to the last turn.
    pub(super) cycles: u64,
    /// Interrupts that have been counted in [`ANSWERED`] meanwhile.
    pub(super) answered: u64,
}

/// Computes for so many turns; if `under` a flood, the vector comes in all the while and at no other time, from
/// before the first turn. The rivals may answer it.
pub(super) fn work(turns: u64, under: Option<(&Flood, Vector)>) -> Worked {
    let step = if let Some((_, vector)) = under {
        VECTOR.store(vector.get(), Ordering::Relaxed);
        1_u64
    } else {
        // What was last asked for need not have been seen.
        SEEN.store(ORDER.load(Ordering::Relaxed), Ordering::Relaxed);
        0
    };
    let (start, before, end, after): (u64, u64, u64, u64);
    // SAFETY: 1. Only the order is written, which is this CPU's, and registers. 2. What an interrupt may
    // change is named, and none comes before the first line or after the last; but for the readings of the clock,
    // around which interrupts are off, and those are on before. 3. The others are only read.
    unsafe {
        asm!(
            "add [rip + {order}], {step}",
            "mov {value}, [rip + {order}]",
            "7: test {pauses:e}, {pauses:e}", "je 8f", "pause",
            "8: cmp [rip + {seen}], {value}", "jne 7b",
            "cli",
            "mov {before}, [rip + {answered}]",
            "rdtsc", "shl rdx, 32", "or rax, rdx", "mov {start}, rax",
            "sti",
            "2: imul {value}, {factor}", "rol {value}, 7",
            "test {pauses:e}, {pauses:e}", "je 3f", "pause",
            "3: dec {turns}", "jnz 2b",
            "cli",
            "rdtsc", "shl rdx, 32", "or rax, rdx", "mov {end}, rax",
            "mov {after}, [rip + {answered}]",
            "sti",
            "add [rip + {order}], {step}",
            "mov {value}, [rip + {order}]",
            "4: test {pauses:e}, {pauses:e}", "je 5f", "pause",
            "5: cmp [rip + {seen}], {value}", "jne 4b",
            "mov {turns:e}, {tail}",
            "6: dec {turns}", "jnz 6b",
            order = sym ORDER,
            seen = sym SEEN,
            answered = sym ANSWERED,
            tail = const TAIL,
            step = in(reg) step,
            value = inout(reg) 1_u64 => _,
            factor = in(reg) FACTOR,
            pauses = in(reg) u32::from(pauses()),
            turns = inout(reg) turns.max(1) => _,
            start = out(reg) start,
            before = out(reg) before,
            end = out(reg) end,
            after = out(reg) after,
            out("rax") _, out("rcx") _, out("rdx") _,
        );
    }
    Worked {
        cycles: end - start,
        answered: after - before,
    }
}

/// The other CPU's part.
fn send(_: u64) {
    partner::is_ready();
    let target = Destination::Physical(ApicId(TARGET.load(Ordering::Relaxed)));
    while partner::goes_on() {
        let order = ORDER.load(Ordering::Acquire);
        if order % 2 == 1 {
            // It is online.
            let _ = raw::send(Vector(VECTOR.load(Ordering::Relaxed)), target);
        }
        SEEN.store(order, Ordering::Release);
        relax();
    }
}
