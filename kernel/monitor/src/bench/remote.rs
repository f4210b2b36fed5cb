//! A remote CPU that takes part in a measurement: it polls, computes or halts until it is released.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::vector::Vector;

use super::clock::pauses;
use super::quiesce::quiesce;
use crate::raw;
use tocsin::cpu;
use tocsin::ipi::jobs::{self, Job};
use tocsin::ipi::{Targets, reschedule};
use tocsin::smp::{self, Online};

/// Whether the remote CPUs must continue.
static RUN: AtomicBool = AtomicBool::new(false);

/// Whether the remote CPUs halt, so that an interrupt must wake them before they read [`RUN`].
static HALTS: AtomicBool = AtomicBool::new(false);

/// The number of remote CPUs that have started.
static READY: AtomicU64 = AtomicU64::new(0);

/// The factor of the computation.
pub(super) const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

/// A remote CPU.
#[derive(Clone, Copy, Debug)]
pub(super) struct RemoteCpu(pub(super) &'static Online);

impl RemoteCpu {
    /// Returns the first online CPU except this one.
    pub(super) fn find() -> Option<Self> {
        others().next().map(Self)
    }

    /// Returns the CPU's number.
    pub(super) fn id(self) -> u32 {
        self.0.cpu.id()
    }

    /// Returns the ICR value that sends `vector` to the CPU.
    pub(super) fn command(self, vector: Vector) -> Icr {
        Icr::fixed(vector.get(), Destination::Physical(self.0.apic_id))
    }
}

/// Returns all online CPUs except this one.
pub(super) fn others() -> impl Iterator<Item = &'static Online> {
    let own = cpu::current();
    smp::all().iter().filter(move |online| online.cpu != own)
}

/// The activity of the remote CPUs during a measurement. The code of each declares the three
/// registers that [`floor`](super::baselines::floor) clobbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    /// Poll whether they may stop, and nothing else.
    Polling,
    /// Compute.
    Busy,
    /// Halt again after every interrupt.
    Halted,
}

/// Remote CPUs that run a job. They stop when this is dropped.
#[derive(Debug)]
pub(super) struct RemoteJobs {
    /// `None` if a CPU was busy; then no CPU runs the job.
    jobs: Option<jobs::RunningJobs>,
}

impl RemoteJobs {
    /// Starts `activity` on the first `count` remote CPUs.
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
        quiesce();
        RUN.store(true, Ordering::SeqCst);
        READY.store(0, Ordering::SeqCst);
        let job = Job {
            function,
            argument: 0,
        };
        let jobs = raw::start_jobs(others().take(count), |_| job).ok();
        let expected = jobs.as_ref().map_or(0, jobs::RunningJobs::count) as u64;
        while READY.load(Ordering::Acquire) < expected {
            core::hint::spin_loop();
        }
        Self { jobs }
    }
}

impl Drop for RemoteJobs {
    fn drop(&mut self) {
        RUN.store(false, Ordering::SeqCst);
        if HALTS.swap(false, Ordering::SeqCst) {
            // Cannot fail: the other CPUs are online.
            let _ = reschedule::send(Targets::Others);
        }
        // The drop waits for the CPUs.
        self.jobs = None;
    }
}

/// Returns whether a remote CPU must continue.
pub(super) fn must_run() -> bool {
    RUN.load(Ordering::Relaxed)
}

/// Counts a remote CPU as started.
pub(super) fn mark_ready() {
    READY.fetch_add(1, Ordering::Release);
}

fn poll(_: u64) {
    mark_ready();
    if pauses() {
        // SAFETY: The code only reads memory, and all registers that an interrupt may change are
        // declared.
        unsafe {
            asm!(
                "2: pause", "cmp byte ptr [rip + {run}], 0", "jne 2b",
                run = sym RUN, out("rax") _, out("rcx") _, out("rdx") _,
            );
        }
    } else {
        // SAFETY: As above.
        unsafe {
            asm!(
                "2: cmp byte ptr [rip + {run}], 0", "jne 2b",
                run = sym RUN, out("rax") _, out("rcx") _, out("rdx") _,
            );
        }
    }
}

fn compute(_: u64) {
    mark_ready();
    // SAFETY: The code only reads memory, and all registers that an interrupt may change are
    // declared.
    unsafe {
        asm!(
            "2: imul {value}, {factor}", "rol {value}, 7",
            "test {pauses:e}, {pauses:e}", "je 3f", "pause",
            "3: cmp byte ptr [rip + {run}], 0", "jne 2b",
            value = inout(reg) 1_u64 => _,
            factor = in(reg) FACTOR,
            pauses = in(reg) u32::from(pauses()),
            run = sym RUN,
            out("rax") _, out("rcx") _, out("rdx") _,
        );
    }
}

fn halt(_: u64) {
    HALTS.store(true, Ordering::SeqCst);
    mark_ready();
    // SAFETY: Interrupts were enabled before, and are enabled at the end. Interrupts stay inhibited
    // between STI and HLT (SDM vol. 2B, STI), so an interrupt that arrives after the check ends the
    // halt. All registers that it may change are declared.
    unsafe {
        asm!(
            "2: cli", "cmp byte ptr [rip + {run}], 0", "je 3f", "sti", "hlt", "jmp 2b",
            "3: sti",
            run = sym RUN, out("rax") _, out("rcx") _, out("rdx") _,
        );
    }
}
