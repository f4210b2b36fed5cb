//! The timer interrupt at a vector of its class with a timestamp at the gate, and the cost of the
//! timestamps.

use crate::raw;
use core::sync::atomic::Ordering;
use tocsin::hooks;

use tocsin_logic::bench::median;
use tocsin_logic::vector::Vector;

use super::baselines::{self, BEGAN, GATE, NEXT, OWN};
use super::delays::{HandlerOverhead, Recording};
use super::runner::Bench;
use super::self_ipi::{GateCost, to_self};
use tocsin::apic::vectors;
use tocsin::cpu;
use tocsin::cpu::handlers::MEASURED;
use tocsin::sync::without_interrupts;
use tocsin::timer::Timer;

/// The timer's vector during the measurement: class 14.
const STAMPED: Vector = Vector(MEASURED[2]);

/// Enables or disables the timestamp at the gate of [`STAMPED`].
fn set_stamped(on: bool) {
    let ordinary = hooks::default_entry(2);
    let code = if on {
        NEXT.store(ordinary, Ordering::Relaxed);
        baselines::stamped as *const () as u64
    } else {
        ordinary
    };
    // SAFETY: The address is the vector's normal entry code, or code that preserves all registers
    // and jumps to it.
    unsafe { hooks::set_measured(2, code) };
}

/// Returns the durations of a handler's entry and exit code, and the cost of measuring the path
/// from a stamped gate to a recorded handler, which must be subtracted.
pub(super) fn costs(bench: &Bench) -> (HandlerOverhead, u64) {
    let median = |sample: &dyn Fn() -> u64| {
        let mut samples: [u64; 101] = core::array::from_fn(|_| sample());
        median(&mut samples)
    };
    let gap = || {
        let gate = GATE.load(Ordering::Relaxed);
        BEGAN.load(Ordering::Relaxed).saturating_sub(gate)
    };
    let straight = GateCost::measured(bench.overhead).after;
    let is_free = baselines::install(STAMPED);
    assert!(is_free, "the timer's other vector has a handler");
    set_stamped(true);
    let through = || {
        to_self(STAMPED);
        gap()
    };
    let plain = median(&through);
    let ends = HandlerOverhead {
        before: plain.saturating_sub(straight),
        after: median(&|| to_self(OWN).back()).saturating_sub(bench.overhead),
    };
    let recording = Recording::begin(ends);
    let recorded = median(&through);
    drop(recording);
    set_stamped(false);
    baselines::remove(STAMPED);
    (ends, straight + recorded.saturating_sub(plain))
}

/// The timer interrupts of this CPU at a vector whose gate is stamped, until this is dropped.
pub(super) struct Stamped<'a> {
    pub(super) timer: &'a mut Timer,
}

impl<'a> Stamped<'a> {
    pub(super) fn begin(timer: &'a mut Timer) -> Self {
        let this = cpu::current();
        // The queue configures the hardware at its first use only, so it must do this before the
        // vector changes.
        fire(timer);
        without_interrupts(|| {
            let queue = raw::exchange(this, vectors::TIMER, baselines::nothing);
            let (expire, context) = queue.expect("the queue handles the timer");
            let _ = raw::exchange(this, vectors::TIMER, expire);
            let is_free = raw::install(this, STAMPED, expire, context);
            assert!(is_free, "the timer's other vector has a handler");
        });
        set_stamped(true);
        let mut this = Self { timer };
        this.set_vector(STAMPED);
        this
    }

    /// Configures the timer hardware to interrupt at `vector`.
    fn set_vector(&mut self, vector: Vector) {
        without_interrupts(|| raw::prepare_timer(vector));
        // This has cleared the deadline of the queue; the timer sets it again when it fires.
        fire(self.timer);
    }
}

impl Drop for Stamped<'_> {
    fn drop(&mut self) {
        self.set_vector(vectors::TIMER);
        set_stamped(false);
        baselines::remove(STAMPED);
    }
}

/// Starts the timer, and waits until it has fired once.
fn fire(timer: &mut Timer) {
    let before = timer.fired();
    // Cannot fail: it is this CPU's own timer.
    let _ = timer.after(1_000);
    while timer.fired() == before {
        core::hint::spin_loop();
    }
}
