//! The timer's interrupt at a vector of its class whose gate can be stamped, and what the stamps cost.

use crate::raw;
use core::sync::atomic::Ordering;
use tocsin::hooks;

use tocsin_logic::bench::median;
use tocsin_logic::vector::Vector;

use super::held::{Ends, Recording};
use super::rivals::{self, BEGAN, GATE, NEXT, OWN};
use super::runner::Bench;
use super::self_ipi::{GateCost, to_self};
use tocsin::apic::vectors;
use tocsin::cpu;
use tocsin::cpu::interrupts::MEASURED;
use tocsin::sync::without_interrupts;
use tocsin::timer::Timer;

/// The timer's vector for the while: class 14.
const STAMPED: Vector = Vector(MEASURED[2]);

/// Lets the gate of [`STAMPED`] be stamped, or not.
fn set_stamped(on: bool) {
    let ordinary = hooks::ordinary(2);
    let code = if on {
        NEXT.store(ordinary, Ordering::Relaxed);
        rivals::stamped as *const () as u64
    } else {
        ordinary
    };
    // SAFETY: 1. The one is what the vector leads to as a rule; the other changes no register, and goes on
    // there.
    unsafe { hooks::set_measured(2, code) };
}

/// What the entry of a handler and its end take; and what is to be taken off the way from a stamped gate to a
/// handler that is recorded, because only measuring costs it.
pub(super) fn costs(bench: &Bench) -> (Ends, u64) {
    let median = |sample: &dyn Fn() -> u64| {
        let mut samples: [u64; 101] = core::array::from_fn(|_| sample());
        median(&mut samples)
    };
    let gap = || {
        let gate = GATE.load(Ordering::Relaxed);
        BEGAN.load(Ordering::Relaxed).saturating_sub(gate)
    };
    let straight = GateCost::measured(bench.overhead).after;
    let is_free = rivals::install(STAMPED);
    assert!(is_free, "the timer's other vector has a handler");
    set_stamped(true);
    let through = || {
        to_self(STAMPED);
        gap()
    };
    let plain = median(&through);
    let ends = Ends {
        before: plain.saturating_sub(straight),
        after: median(&|| to_self(OWN).back()).saturating_sub(bench.overhead),
    };
    let recording = Recording::begin(ends);
    let recorded = median(&through);
    drop(recording);
    set_stamped(false);
    rivals::remove(STAMPED);
    (ends, straight + recorded.saturating_sub(plain))
}

/// The timer's interrupts at a vector whose gate is stamped, on this CPU, until this is dropped.
pub(super) struct Stamped<'a> {
    pub(super) timer: &'a mut Timer,
}

impl<'a> Stamped<'a> {
    pub(super) fn begin(timer: &'a mut Timer) -> Self {
        let this = cpu::current();
        // The queue prepares the hardware when it first needs it, and not again.
        fire(timer);
        without_interrupts(|| {
            let queue = raw::exchange(this, vectors::TIMER, rivals::nothing);
            let (expire, context) = queue.expect("the queue answers the timer");
            let _ = raw::exchange(this, vectors::TIMER, expire);
            let is_free = raw::install(this, STAMPED, expire, context);
            assert!(is_free, "the timer's other vector has a handler");
        });
        set_stamped(true);
        let mut this = Self { timer };
        this.lead(STAMPED);
        this
    }

    /// Has the hardware interrupt at `vector`.
    fn lead(&mut self, vector: Vector) {
        without_interrupts(|| raw::prepare_timer(vector));
        // That has cleared the deadline: when this one is done, the next is set again.
        fire(self.timer);
    }
}

impl Drop for Stamped<'_> {
    fn drop(&mut self) {
        self.lead(vectors::TIMER);
        set_stamped(false);
        rivals::remove(STAMPED);
    }
}

/// Lets the timer fire once, now.
fn fire(timer: &mut Timer) {
    let before = timer.fired();
    // This CPU's own timer is not refused.
    let _ = timer.after(1_000);
    while timer.fired() == before {
        core::hint::spin_loop();
    }
}
