//! The latency of a self-IPI: from the send to the handler, and its two parts, before and after the
//! gate; from the handler to the sender, which is the handler's return, EOI, IRETQ and the last
//! iteration of the sender's wait loop; and the total.

use crate::raw;
use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::Ordering;

use tocsin_logic::bench::median;
use tocsin_logic::vector::Vector;

use super::baselines::{self, BEGAN, FLOOR, GATE, Installed, NEXT, OWN, TYPICAL};
use super::clock::stamp;
use super::runner::{Bench, Parts};
use tocsin::apic::local;
use tocsin::hooks;

/// The times of the send, of the start of the handler, and of the return to the sender.
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
    ("self_ipi.back", Times::back),
    ("self_ipi.round_trip", Times::round_trip),
];

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    let overhead = bench.overhead;
    let mut variants = installed.variants(
        overhead,
        || to_self(OWN),
        || bare_to_self(FLOOR),
        || to_self(TYPICAL),
    );
    bench.compare_parts(&PARTS, &[], &mut variants);
    parts(bench, &installed);
}

/// The cost of a timestamp at the gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct GateCost {
    /// Its part in the time from the send to the timestamp.
    pub(super) before: u64,
    /// Its part in the time from the timestamp to the handler.
    pub(super) after: u64,
}

/// The number of samples for the calibration.
const CALIBRATION: usize = 501;

impl GateCost {
    /// Measures the cost with the floor baseline, whose handler is at the gate: alternately with
    /// and without a timestamp before it. The gates of the baselines remain stamped.
    pub(super) fn measured(overhead: u64) -> Self {
        let stamped = baselines::stamped as *const () as u64;
        let (mut plain, mut before, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..CALIBRATION {
            Installed::set_entry(baselines::floor_address(), stamped);
            plain.push(bare_to_self(FLOOR).to_handler());
            Installed::set_entry(stamped, stamped);
            let gate = gate(baselines::floor_address(), || bare_to_self(FLOOR));
            before.push(gate.before);
            after.push(gate.after);
        }
        let to_handler = median(&mut plain).saturating_sub(overhead);
        Self {
            before: median(&mut before).saturating_sub(to_handler),
            after: median(&mut after),
        }
    }
}

/// The two parts of a latency that is stamped at the gate. Both include the timestamp's own cost.
struct Gate {
    before: u64,
    after: u64,
}

/// Sends an interrupt whose gate is stamped and then jumps to `next`.
fn gate(next: u64, send: impl Fn() -> Times) -> Gate {
    NEXT.store(next, Ordering::Relaxed);
    let Times { start, began, .. } = send();
    let gate = GATE.load(Ordering::Relaxed);
    Gate {
        before: gate - start,
        after: began - gate,
    }
}

/// Measures the time from the send to the gate's first instruction, and from there to the
/// handler's. In the floor baseline, the handler is at the gate. The stub of a vector that can be
/// stamped has one jump more than others, before the timestamp, so the parts add up to one
/// instruction more than the kernel's own `to_handler`.
fn parts(bench: &mut Bench, installed: &Installed) {
    let cost = GateCost::measured(bench.overhead);
    let table_has_it = baselines::install(FLOOR);
    let own = || gate(hooks::default_entry(0), || to_self(FLOOR));
    let floor = || gate(baselines::floor_address(), || bare_to_self(FLOOR));
    let typical = || gate(baselines::typical_address(), || to_self(TYPICAL));
    let parts: Parts<Gate, 2> = [
        ("self_ipi.to_gate", |it| it.before),
        ("self_ipi.entry", |it| it.after),
    ];
    for ((name, part), overhead) in parts.into_iter().zip([cost.before, cost.after]) {
        let mut variants = installed.variants(
            overhead,
            || part(own()),
            || part(floor()),
            || part(typical()),
        );
        bench.compare(name, &[], &mut variants);
    }
    if table_has_it {
        baselines::remove(FLOOR);
    }
}

/// Sends `vector` to this CPU in the normal way, and waits for the handler.
pub(super) fn to_self(vector: Vector) -> Times {
    BEGAN.store(0, Ordering::Relaxed);
    let start = stamp();
    raw::send_to_self(vector);
    let began = wait();
    let end = stamp();
    Times { start, began, end }
}

/// Waits for the handler: on hardware, the interrupt arrives some cycles after the send. The loop
/// is in assembly because the compiler would align it with a varying number of instructions.
#[inline]
pub(super) fn wait() -> u64 {
    let began: u64;
    // SAFETY: The code only reads a variable that is written atomically.
    unsafe {
        asm!(
            "2: mov {began}, [rip + {began_at}]", "test {began}, {began}", "je 2b",
            began = out(reg) began,
            began_at = sym BEGAN,
            options(nostack),
        );
    }
    began
}

/// Same as [`to_self`] with the minimum of code. The handler may clobber RAX, RCX and RDX.
pub(super) fn bare_to_self(vector: Vector) -> Times {
    BEGAN.store(0, Ordering::Relaxed);
    let (start, end): (u64, u64);
    if local().is_x2apic() {
        // SAFETY: In x2APIC mode the register exists. All registers that the handler changes are
        // declared, and the handler has run before the last line.
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
        // SAFETY: The address is that of the ICR's low half, and the command is a self-IPI. The
        // rest as above.
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
