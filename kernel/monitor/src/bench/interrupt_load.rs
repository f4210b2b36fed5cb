//! An interrupt load: timers of this CPU, and interrupts that a remote CPU sends to it, all for
//! pseudo-random times.

use crate::raw;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tocsin_logic::apic::ApicId;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::vector::{Vector, fixed};

use super::baselines::{self, OWN};
use super::clock::{relax, stamp};
use super::delays;
use super::remote::{self, RemoteCpu, RemoteJobs};
use tocsin::apic::local;
use tocsin::timer::{Expiry, Mode, Timer, TimerError};

/// A vector of the timers' class, whose handler spins.
pub(super) const WORKS: Vector = fixed::BENCH_URGENT;

/// The maximum length of one piece of the load, in cycles.
pub(super) const PIECE: u64 = 8_000;

/// The periods of the timers, in nanoseconds.
const PERIODS: [u64; 3] = [61_000, 97_000, 151_000];

/// The seed of the pseudo-random numbers.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
static RANDOM: AtomicU64 = AtomicU64::new(SEED);

/// The APIC ID of the measured CPU.
static TARGET: AtomicU32 = AtomicU32::new(0);

/// The time until which [`work`] spins; 0 for a pseudo-random time.
static UNTIL: AtomicU64 = AtomicU64::new(0);

/// The timers and the handler of an interrupt load. The handler is removed when this is dropped.
#[derive(Debug)]
pub(super) struct InterruptLoad {
    timers: Vec<Timer>,
}

impl InterruptLoad {
    /// Creates the timers, which are stopped, and installs the handler of [`WORKS`].
    pub(super) fn new() -> Result<Self, TimerError> {
        let mut timers = Vec::new();
        for _ in PERIODS {
            let random = AtomicU64::new(SEED ^ timers.len() as u64);
            let function = move |_: &Expiry<'_>| {
                let begin = stamp();
                spin_until(begin + next(&random) % (PIECE / 4));
                delays::note_service(begin);
            };
            timers.push(Timer::new("bench load", Mode::Interrupt, function)?);
        }
        let has_works = baselines::install_handler(WORKS, work);
        assert!(has_works, "the urgent vector has another handler");
        Ok(Self { timers })
    }

    /// Starts the timers.
    pub(super) fn start(&mut self) {
        for (timer, period) in self.timers.iter_mut().zip(PERIODS) {
            // Cannot fail: these are timers of this CPU.
            let _ = timer.every(period);
        }
    }

    /// Stops the timers.
    pub(super) fn stop(&mut self) {
        for timer in &mut self.timers {
            timer.cancel();
        }
    }
}

impl Drop for InterruptLoad {
    fn drop(&mut self) {
        baselines::remove(WORKS);
    }
}

/// Lets a remote CPU send interrupts to this CPU until the result is dropped. Returns `None` if
/// there is no other CPU.
pub(super) fn load_this_cpu() -> Option<RemoteJobs> {
    RemoteCpu::find().map(|_| {
        TARGET.store(local().id().0, Ordering::Relaxed);
        RemoteJobs::with(1, send_load)
    })
}

/// Restarts the pseudo-random numbers.
pub(super) fn restart() {
    RANDOM.store(SEED, Ordering::Relaxed);
    UNTIL.store(0, Ordering::Relaxed);
}

/// Returns the next pseudo-random number of the thread and of the handler.
pub(super) fn random() -> u64 {
    next(&RANDOM)
}

/// Sends [`WORKS`] to this CPU; its handlers spin until `time`.
pub(super) fn work_until(time: u64) {
    UNTIL.store(time, Ordering::Relaxed);
    raw::send_to_self(WORKS);
}

/// Spins until [`UNTIL`], or for a pseudo-random time.
extern "C" fn work(_: usize, _: u8) {
    let until = match UNTIL.load(Ordering::Relaxed) {
        0 => stamp() + next(&RANDOM) % PIECE,
        until => until,
    };
    spin_until(until);
}

/// The job of the remote CPU: it sends interrupts of the timers' class, and of the class below.
fn send_load(_: u64) {
    let random = AtomicU64::new(SEED + 1);
    let target = ApicId(TARGET.load(Ordering::Relaxed));
    remote::mark_ready();
    while remote::must_run() {
        spin_until(stamp() + PIECE + next(&random) % (8 * PIECE));
        let vector = if next(&random).is_multiple_of(4) {
            WORKS
        } else {
            OWN
        };
        // Cannot fail: the target is online.
        let _ = raw::send(vector, Destination::Physical(target));
    }
}

/// Spins until the time-stamp counter has reached `time`.
pub(super) fn spin_until(time: u64) {
    while stamp() < time {
        relax();
    }
}

/// Returns the next pseudo-random number (xorshift; Marsaglia 2003). `state` must not be 0.
fn next(state: &AtomicU64) -> u64 {
    let mut value = state.load(Ordering::Relaxed);
    value ^= value << 13;
    value ^= value >> 7;
    value ^= value << 17;
    state.store(value, Ordering::Relaxed);
    value
}
