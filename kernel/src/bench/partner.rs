//! Another CPU that takes part in a measurement: it waits, works or sleeps until it is let go.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::vector::Vector;

use super::clock::{pauses, relax};
use super::settle::settle;
use crate::apic::local;
use crate::cpu;
use crate::smp::jobs::{self, Job};
use crate::smp::{self, Online};

/// Whether the partners go on.
static GO_ON: AtomicBool = AtomicBool::new(false);

/// How many have begun.
static READY: AtomicU64 = AtomicU64::new(0);

/// What a partner floods the others with: vector, and APIC ID.
static FLOOD: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

/// How many interrupts the flood has sent.
static SENT: AtomicU64 = AtomicU64::new(0);

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

/// What partners do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// Look again and again whether they may stop, and nothing else.
    Polling,
    /// Compute.
    Busy,
}

/// Partners at work; they stop when this is dropped.
#[derive(Debug)]
pub(super) struct AtWork {
    jobs: jobs::Given,
}

impl AtWork {
    /// Lets `count` of the others do this, from the first on.
    pub(super) fn begin(count: usize, activity: Activity) -> Self {
        Self::with(
            count,
            match activity {
                Activity::Polling => poll,
                Activity::Busy => compute,
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
        let jobs = jobs::Given::to(others().take(count), job);
        while READY.load(Ordering::Acquire) < jobs.count() as u64 {
            core::hint::spin_loop();
        }
        Self { jobs }
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        GO_ON.store(false, Ordering::SeqCst);
        self.jobs.wait();
    }
}

/// Interrupts that a partner sends this CPU, as fast as it can; until this is dropped.
#[derive(Debug)]
pub(super) struct Flood {
    _at_work: AtWork,
}

impl Flood {
    pub(super) fn begin(_: Partner, vector: Vector) -> Self {
        FLOOD[0].store(vector.get().into(), Ordering::Relaxed);
        FLOOD[1].store(local().id().0.into(), Ordering::Relaxed);
        SENT.store(0, Ordering::Relaxed);
        Self {
            _at_work: AtWork::with(1, flood),
        }
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

/// Waits in code that expects [`floor`](super::rivals::floor), which changes three registers.
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
    let mut value = 1_u64;
    while goes_on() {
        for _ in 0..100 {
            value = core::hint::black_box(value.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7));
        }
        relax();
    }
}

fn flood(_: u64) {
    is_ready();
    // What was stored there fits.
    let vector = FLOOD[0].load(Ordering::Relaxed) as u8;
    let target = tocsin_logic::apic::ApicId(FLOOD[1].load(Ordering::Relaxed) as u32);
    let command = Icr::fixed(vector, Destination::Physical(target));
    while goes_on() {
        // It is online.
        let _ = local().send(command);
        SENT.fetch_add(1, Ordering::Relaxed);
        relax();
    }
}
