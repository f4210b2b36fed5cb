//! An interrupt of this CPU to itself: from the sending to the handler, from the gate to the handler,
//! from the handler back, and all of it.

use core::arch::asm;
use core::sync::atomic::Ordering;

use tocsin_logic::bench::Summary;
use tocsin_logic::vector::Vector;

use super::clock::stamp;
use super::rivals::{self, BEGAN, FLOOR, GATE, Installed, NEXT, OWN, TYPICAL};
use super::runner::{Bench, Parts};
use crate::apic::local;
use crate::cpu::interrupt_entry;

/// When it was sent, when the handler began, and when the sender went on.
#[derive(Clone, Copy)]
pub(super) struct Times {
    start: u64,
    began: u64,
    end: u64,
}

impl Times {
    pub(super) fn to_handler(self) -> u64 {
        self.began - self.start
    }

    pub(super) fn back(self) -> u64 {
        self.end - self.began
    }

    fn round_trip(self) -> u64 {
        self.end - self.start
    }
}

const PARTS: Parts<Times, 3> = [
    ("self_ipi.to_handler", Times::to_handler),
    ("self_ipi.eoi", Times::back),
    ("self_ipi.round_trip", Times::round_trip),
];

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    let overhead = bench.overhead;
    let mut ways = installed.ways(
        overhead,
        || to_self(OWN),
        || bare_to_self(FLOOR),
        || to_self(TYPICAL),
    );
    bench.compare_parts(&PARTS, &[], &mut ways);
    entry(bench, &installed);
}

/// From the gate's first instruction to the handler's. The floor is the handler at the gate.
fn entry(bench: &mut Bench, installed: &Installed) {
    let stamped = rivals::stamped as *const () as u64;
    Installed::lead(stamped, stamped);
    // What the stamp at the gate costs by itself: the way from it straight to the next one.
    let straight = || {
        NEXT.store(rivals::floor_here(), Ordering::Relaxed);
        bare_to_self(FLOOR);
        BEGAN.load(Ordering::Relaxed) - GATE.load(Ordering::Relaxed)
    };
    let mut samples: [u64; 101] = core::array::from_fn(|_| straight());
    let overhead = Summary::of(&mut samples).map_or(0, |summary| summary.p50);
    let table_has_it = rivals::install(FLOOR);
    let own = || {
        NEXT.store(interrupt_entry::ordinary(0), Ordering::Relaxed);
        to_self(FLOOR);
        BEGAN.load(Ordering::Relaxed) - GATE.load(Ordering::Relaxed)
    };
    let typical = || {
        NEXT.store(rivals::typical_here(), Ordering::Relaxed);
        to_self(TYPICAL);
        BEGAN.load(Ordering::Relaxed) - GATE.load(Ordering::Relaxed)
    };
    let mut ways = installed.ways(overhead, own, straight, typical);
    bench.compare("self_ipi.entry", &[], &mut ways);
    if table_has_it {
        rivals::remove(FLOOR);
    }
}

/// Sends `vector` to this CPU as everybody does, and waits for the handler.
pub(super) fn to_self(vector: Vector) -> Times {
    BEGAN.store(0, Ordering::Relaxed);
    let start = stamp();
    local().send_to_self(vector);
    let began = wait();
    let end = stamp();
    Times { start, began, end }
}

/// Waits for the handler: on hardware, the interrupt arrives some cycles after it was sent. The compiler
/// would align the loop with an instruction more or less.
#[inline]
pub(super) fn wait() -> u64 {
    let began: u64;
    // SAFETY: 1. Only reads, what others write as an atomic.
    unsafe {
        asm!(
            "2: mov {began}, [rip + {place}]", "test {began}, {began}", "je 2b",
            began = out(reg) began,
            place = sym BEGAN,
            options(nostack),
        );
    }
    began
}

/// The same with as little as possible, and ready for a handler that changes registers.
pub(super) fn bare_to_self(vector: Vector) -> Times {
    BEGAN.store(0, Ordering::Relaxed);
    let (start, end): (u64, u64);
    if local().is_x2apic() {
        // SAFETY: 1. In x2APIC mode the register exists. 2. What the handler changes is named, and it
        // has come before the last line.
        unsafe {
            asm!(
                "rdtsc", "shl rdx, 32", "or rax, rdx", "mov {start}, rax",
                "mov ecx, 0x83f", "mov eax, {vector:e}", "xor edx, edx", "wrmsr",
                "2: cmp qword ptr [rip + {began}], 0", "je 2b",
                "rdtsc", "shl rdx, 32", "or rax, rdx",
                start = out(reg) start,
                vector = in(reg) u32::from(vector.get()),
                began = sym BEGAN,
                out("rax") end, out("rcx") _, out("rdx") _,
            );
        }
    } else {
        // SAFETY: 1. It is the ICR's low half, and the command is one to the sender. 2. As above.
        unsafe {
            asm!(
                "rdtsc", "shl rdx, 32", "or rax, rdx", "mov {start}, rax",
                "mov dword ptr [{icr}], {command:e}",
                "2: cmp qword ptr [rip + {began}], 0", "je 2b",
                "rdtsc", "shl rdx, 32", "or rax, rdx",
                start = out(reg) start,
                icr = in(reg) local().eoi_register() - 0xb0 + 0x300,
                command = in(reg) 0x4_4000 | u32::from(vector.get()),
                began = sym BEGAN,
                out("rax") end, out("rcx") _, out("rdx") _,
            );
        }
    }
    Times {
        start,
        began: BEGAN.load(Ordering::Relaxed),
        end,
    }
}
