//! Another CPU that takes part in a measurement: it waits, works or sleeps until it is let go.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::vector::Vector;

use super::clock::pauses;
use super::settle::settle;
use tocsin::ipi::jobs::{self, Job};
use tocsin::ipi::{Targets, reschedule};
use tocsin::smp::{self, Online};
use tocsin::{cpu, hooks};

/// Whether the partners go on.
static GO_ON: AtomicBool = AtomicBool::new(false);

/// Whether they sleep, and must be woken to see that.
static SLEEPS: AtomicBool = AtomicBool::new(false);

/// How many have begun.
static READY: AtomicU64 = AtomicU64::new(0);

/// What is computed with.
pub(super) const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// Another CPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct Partner(pub(super) &'static Online);

impl Partner {
    /// The first that is online beside this one.
    pub(super) fn find() -> Option<Self> {
        others().next().map(Self)
    }

    /// Its number.
    pub(super) fn id(self) -> u32 {
        self.0.cpu.id()
    }

    /// The command that interrupts it.
    pub(super) fn command(self, vector: Vector) -> Icr {
        Icr::fixed(vector.get(), Destination::Physical(self.0.apic_id))
    }
}

/// All CPUs that are online but this one.
pub(super) fn others() -> impl Iterator<Item = &'static Online> {
    let own = cpu::current();
    smp::all()
        .iter()
        .filter(move |online| !core::ptr::eq(online.cpu, own))
}

/// What partners do meanwhile, each in code that expects [`floor`](super::rivals::floor), which changes
/// three registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// Look again and again whether they may stop, and nothing else.
    Polling,
    /// Compute.
    Busy,
    /// Sleep after every interrupt.
    Halted,
}

/// Partners at work; they stop when this is dropped.
#[derive(Debug)]
pub(super) struct AtWork {
    /// `None` if a CPU was busy; then no CPU runs.
    jobs: Option<jobs::Given>,
}

impl AtWork {
    /// Lets `count` of the others do this, from the first on.
    pub(super) fn begin(count: usize, activity: Activity) -> Self {
        Self::with(
            count,
            match activity {
                Activity::Polling => poll,
                Activity::Busy => compute,
                Activity::Halted => halt,
            },
        )
    }

    pub(super) fn with(count: usize, function: fn(u64)) -> Self {
        settle();
        GO_ON.store(true, Ordering::SeqCst);
        READY.store(0, Ordering::SeqCst);
        let job = Job {
            function,
            argument: 0,
        };
        let jobs = hooks::give(others().take(count), |_| job).ok();
        let expected = jobs.as_ref().map_or(0, jobs::Given::count) as u64;
        while READY.load(Ordering::Acquire) < expected {
            core::hint::spin_loop();
        }
        Self { jobs }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        GO_ON.store(false, Ordering::SeqCst);
        if SLEEPS.swap(false, Ordering::SeqCst) {
            // The others are online.
            let _ = reschedule::send(Targets::Others);
        }
        // Waits.
        self.jobs = None;
    }
}

/// Whether a partner is to go on.
pub(super) fn goes_on() -> bool {
    GO_ON.load(Ordering::Relaxed)
}

/// Says that a partner has begun.
pub(super) fn is_ready() {
    READY.fetch_add(1, Ordering::Release);
}

fn poll(_: u64) {
    is_ready();
    if pauses() {
        // SAFETY: 1. Only reads; what an interrupt may change is named.
        unsafe {
            asm!(
                "2: pause", "cmp byte ptr [rip + {go_on}], 0", "jne 2b",
                go_on = sym GO_ON, out("rax") _, out("rcx") _, out("rdx") _,
            );
        }
    } else {
        // SAFETY: 1. As above.
        unsafe {
            asm!(
                "2: cmp byte ptr [rip + {go_on}], 0", "jne 2b",
                go_on = sym GO_ON, out("rax") _, out("rcx") _, out("rdx") _,
            );
        }
    }
}

fn compute(_: u64) {
    is_ready();
    // SAFETY: 1. Only reads; what an interrupt may change is named.
    unsafe {
        asm!(
            "2: imul {value}, {factor}", "rol {value}, 7",
            "test {pauses:e}, {pauses:e}", "je 3f", "pause",
            "3: cmp byte ptr [rip + {go_on}], 0", "jne 2b",
            value = inout(reg) 1_u64 => _,
            factor = in(reg) FACTOR,
            pauses = in(reg) u32::from(pauses()),
            go_on = sym GO_ON,
            out("rax") _, out("rcx") _, out("rdx") _,
        );
    }
}

fn halt(_: u64) {
    SLEEPS.store(true, Ordering::SeqCst);
    is_ready();
    // SAFETY: 1. Interrupts were on, as they are in the end. Between STI and HLT none comes in (SDM vol. 2B,
    // STI), so one that comes after the look ends the sleep. 2. What it may change is named.
    unsafe {
        asm!(
            "2: cli", "cmp byte ptr [rip + {go_on}], 0", "je 3f", "sti", "hlt", "jmp 2b",
            "3: sti",
            go_on = sym GO_ON, out("rax") _, out("rcx") _, out("rdx") _,
        );
    }
}
