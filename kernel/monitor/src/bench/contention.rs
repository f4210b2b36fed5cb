//! The latency of an urgent interrupt while a thread holds a lock, until its handler can do its
//! work.
//!
//! - `none`: no lock is held. The thread only computes.
//! - `cli`: the thread disables interrupts while it holds the lock, as most kernels do. The
//!   interrupt waits for the end of the section.
//! - `ceiling`: a [`CeilingMutex`] for classes up to 5. It masks these classes, but not the urgent
//!   interrupt, whose class is above them.
//! - `spin`: a plain spinlock, which does not restrict the contexts that may take it; the urgent
//!   handler takes it. The handler would deadlock with a thread of its own CPU, so the thread runs
//!   on a remote CPU. The handler starts immediately, then waits for the section and for any
//!   handler that interrupts the section, because the lock masks no interrupts.

use crate::raw;
use core::hint;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use spin::Mutex;
use tocsin_logic::vector::{PriorityClass, Vector, fixed};

use super::baselines::{self, BEGAN, Installed, OWN};
use super::clock::{relax, stamp};
use super::record::Value;
use super::remote::{self, RemoteCpu, RemoteJobs};
use super::runner::{Bench, Case};
use super::self_ipi::wait;
use tocsin::cpu;
use tocsin::ipi::call;
use tocsin::priority::CeilingMutex;
use tocsin::sync::IrqMutex;

/// Lengths of the section, in cycles.
const SECTIONS: [u64; 6] = [0, 1_000, 5_000, 20_000, 100_000, 500_000];

/// A lock that a driver of class 5 shares with threads.
static CEILING: CeilingMutex<()> = CeilingMutex::new(CLASS, ());

const CLASS: PriorityClass = PriorityClass::new(5).expect("a class is 0 to 15");

/// The same as a lock that disables interrupts while it is held.
static MASKING: IrqMutex<()> = IrqMutex::new(());

/// The same as a lock that masks no interrupts.
static PLAIN: Mutex<()> = Mutex::new(());

/// The interrupt of the remote CPU's thread: its class, its vector there, and the run time of its
/// handler in cycles.
const LOW: PriorityClass = PriorityClass::new(3).expect("a class is 0 to 15");
static MEANWHILE: AtomicU8 = AtomicU8::new(0);
const INTERRUPTION: u64 = 2_000;

/// The vector whose handler takes the plain lock: class 14.
const TAKES: Vector = fixed::BENCH_URGENT;

/// The time for which the remote CPU's thread must hold the lock, plus 1; 0 if there is no request.
static HOLD: AtomicU64 = AtomicU64::new(0);

/// The TSC value at which it took the lock; 0 before.
static LOCKED_AT: AtomicU64 = AtomicU64::new(0);

/// The time for which it has been interrupted since then, in cycles.
static STOLEN: AtomicU64 = AtomicU64::new(0);

pub(super) fn run(bench: &mut Bench) {
    let installed = Installed::new();
    let taken = baselines::install_handler(TAKES, take_plain);
    assert!(taken, "the urgent vector has another handler");
    let remote = RemoteCpu::find();
    if remote.is_none() {
        bench.skip(
            "contention.latency, spin",
            "there is no other CPU to hold the lock",
        );
    }
    for length in SECTIONS {
        measure(bench, length, remote);
    }
    baselines::remove(TAKES);
    drop(installed);
}

fn measure(bench: &mut Bench, length: u64, remote: Option<RemoteCpu>) {
    let holder = remote.and_then(Holder::new);
    let overhead = bench.overhead;
    // The guard is dropped at the end of the section.
    let none = || arrival(length, || ());
    let cli = || arrival(length, || MASKING.lock());
    let ceiling = || arrival(length, || CEILING.lock());
    let plain = || arrival_at_plain(length);
    let mut cases: [Case<'_>; 4] = [
        Case::new("none", overhead, none),
        Case::new("cli", overhead, cli),
        Case::new("ceiling", overhead, ceiling),
        Case::new("spin", overhead, plain),
    ];
    let count = if holder.is_some() { 4 } else { 3 };
    let param = [("section", Value::Number(length))];
    bench.compare("contention.latency", &param, &mut cases[..count]);
}

/// Takes a lock, sends the urgent interrupt at the start of a section, and returns the latency of
/// its handler.
#[inline]
fn arrival<Guard>(length: u64, lock: impl FnOnce() -> Guard) -> u64 {
    BEGAN.store(0, Ordering::Relaxed);
    let guard = lock();
    let start = sent_now();
    while stamp() - start < length {}
    drop(guard);
    wait() - start
}

/// Sends the urgent interrupt, and returns the time of the send. It is not inlined, so that all
/// cases execute the same instructions.
#[inline(never)]
fn sent_now() -> u64 {
    let start = stamp();
    raw::send_to_self(OWN);
    start
}

/// Same as [`arrival`], with a plain lock that the handler takes while a remote CPU holds it.
fn arrival_at_plain(length: u64) -> u64 {
    BEGAN.store(0, Ordering::Relaxed);
    LOCKED_AT.store(0, Ordering::Relaxed);
    HOLD.store(length + 1, Ordering::Release);
    while LOCKED_AT.load(Ordering::Acquire) == 0 {
        relax();
    }
    let start = stamp();
    raw::send_to_self(TAKES);
    let took = wait() - start;
    // The holder clears the request when it is ready for the next one.
    while HOLD.load(Ordering::Acquire) != 0 {
        relax();
    }
    took
}

/// The urgent handler, whose work requires the lock.
extern "C" fn take_plain(_: usize, _: u8) {
    let guard = loop {
        match PLAIN.try_lock() {
            Some(guard) => break guard,
            None => relax(),
        }
    };
    BEGAN.store(stamp(), Ordering::Relaxed);
    drop(guard);
}

/// A remote CPU whose thread holds the plain lock on request.
struct Holder {
    remote: RemoteCpu,
    vector: Vector,
    jobs: Option<RemoteJobs>,
}

impl Holder {
    /// Returns `None` if the CPU has no free vector for the interrupt of its thread.
    fn new(remote: RemoteCpu) -> Option<Self> {
        let cpu = remote.0.cpu;
        let vector = raw::allocate(cpu, LOW)?;
        let taken = raw::install(cpu, vector, interrupt, 0);
        assert!(taken, "a free vector has a handler");
        MEANWHILE.store(vector.get(), Ordering::Relaxed);
        HOLD.store(0, Ordering::Relaxed);
        Some(Self {
            remote,
            vector,
            jobs: Some(RemoteJobs::with(1, hold)),
        })
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.jobs.take());
        let target = self.remote.0.cpu;
        raw::begin_removal(target, self.vector);
        // The call has a higher class than the interrupt. But the thread that sends the interrupt
        // ends its section only after the handler has run, so no interrupt is in service.
        let _ = call::run(self.remote.id(), || {
            let _ = cpu::current();
        });
        raw::end_removal(target, self.vector);
        raw::free(target, self.vector);
    }
}

/// Holds the lock for a section of work, which is interrupted once.
fn hold(_: u64) {
    remote::mark_ready();
    while remote::must_run() {
        let length = HOLD.load(Ordering::Acquire);
        if length == 0 {
            relax();
            continue;
        }
        let guard = PLAIN.lock();
        STOLEN.store(0, Ordering::Relaxed);
        let start = stamp();
        LOCKED_AT.store(start, Ordering::Release);
        raw::send_to_self(Vector(MEANWHILE.load(Ordering::Relaxed)));
        while stamp() - start < length - 1 + STOLEN.load(Ordering::Relaxed) {
            relax();
        }
        while STOLEN.load(Ordering::Relaxed) == 0 {
            hint::spin_loop();
        }
        drop(guard);
        HOLD.store(0, Ordering::Release);
    }
}

/// Interrupts the remote CPU's thread for [`INTERRUPTION`] cycles.
extern "C" fn interrupt(_: usize, _: u8) {
    let start = stamp();
    let mut took = 0;
    while took < INTERRUPTION {
        relax();
        took = stamp() - start;
    }
    STOLEN.store(took, Ordering::Relaxed);
}
