//! A demonstration of interrupt nesting: every CPU executes the same steps and records which
//! handler ran when.
//!
//! In each step, a handler sends interrupts to its own CPU. An interrupt of a higher class must be
//! delivered immediately, inside the handler. Interrupts of the same and of lower classes must stay
//! pending until the last handler of their class or above has ended, and are then delivered in the
//! order of their classes.

use crate::raw;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tocsin_logic::vector::Vector;
// Two vectors in each class except the highest: those of `NESTED` nest, those of `PENDING` stay
// pending.
use tocsin_logic::vector::fixed::{NESTING_FIRST as NESTED, NESTING_SECOND as PENDING};

use tocsin::apic::local;
use tocsin::cpu::{self, handlers};
use tocsin::hw::processor::timestamp;
use tocsin::{priority, time};

/// The record of a handler: the vector, and whether the handler begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The vector.
    pub vector: Vector,
    /// Whether its handler begins; otherwise it ends.
    pub begins: bool,
}

/// The expected steps: the `NESTED` vectors of classes 2, 5, 9 and 14 nest. The last handler sends
/// the `PENDING` vectors of all lower classes. Each is delivered when the `NESTED` handler of its
/// own class has ended, inside the next lower `NESTED` handler.
pub const EXPECTED: [Step; 14] = [
    begin(NESTED[0]),
    begin(NESTED[1]),
    begin(NESTED[2]),
    begin(NESTED[3]),
    end(NESTED[3]),
    end(NESTED[2]),
    begin(PENDING[2]),
    end(PENDING[2]),
    end(NESTED[1]),
    begin(PENDING[1]),
    end(PENDING[1]),
    end(NESTED[0]),
    begin(PENDING[0]),
    end(PENDING[0]),
];

const fn begin(vector: Vector) -> Step {
    Step {
        vector,
        begins: true,
    }
}

const fn end(vector: Vector) -> Step {
    Step {
        vector,
        begins: false,
    }
}

/// The maximum number of recorded steps, which exceeds the number of expected steps.
const STEPS: usize = 32;

/// The timeout for a self-IPI to arrive, in nanoseconds, which is far longer than the latency. A
/// missing interrupt shows in the timeline.
const TIMEOUT: u64 = 2_000_000_000;

/// The timeline of one CPU. Only that CPU writes it; other CPUs read it afterwards.
#[derive(Debug)]
pub struct TimeLine {
    length: AtomicUsize,
    // The vector, and bit 8 for the beginning of its handler.
    steps: [AtomicU32; STEPS],
    times: [core::sync::atomic::AtomicU64; STEPS],
}

impl Default for TimeLine {
    fn default() -> Self {
        Self::new()
    }
}

impl TimeLine {
    /// Returns an empty timeline.
    ///
    /// Context: thread.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            length: AtomicUsize::new(0),
            steps: [const { AtomicU32::new(0) }; STEPS],
            times: [const { core::sync::atomic::AtomicU64::new(0) }; STEPS],
        }
    }

    /// Clears the timeline. No CPU may write or read it at the same time.
    ///
    /// Context: thread.
    pub fn clear(&self) {
        self.length.store(0, Ordering::Release);
    }

    /// Returns whether anything has been recorded.
    ///
    /// Context: thread.
    #[must_use]
    pub fn began(&self) -> bool {
        self.length.load(Ordering::Acquire) > 0
    }

    fn note(&self, step: Step) {
        // A handler of a higher class may record a step between the two statements. Its index is
        // then higher than this one's, in the order of execution.
        let index = self.length.fetch_add(1, Ordering::Relaxed);
        if let (Some(step_slot), Some(time)) = (self.steps.get(index), self.times.get(index)) {
            time.store(timestamp(), Ordering::Relaxed);
            step_slot.store(
                u32::from(step.vector.get()) | u32::from(step.begins) << 8,
                Ordering::Release,
            );
        }
    }

    /// Returns the steps, each with its time in TSC cycles.
    ///
    /// Context: thread.
    pub fn steps(&self) -> impl Iterator<Item = (Step, u64)> + '_ {
        let length = self.length.load(Ordering::Acquire).min(STEPS);
        self.steps[..length]
            .iter()
            .zip(&self.times)
            .map(|(step, time)| {
                let step = step.load(Ordering::Acquire);
                let step = Step {
                    vector: Vector(step as u8),
                    begins: step >> 8 != 0,
                };
                (step, time.load(Ordering::Relaxed))
            })
    }

    /// Returns whether the steps are the expected ones.
    ///
    /// Context: thread.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.steps().map(|(step, _)| step).eq(EXPECTED)
    }

    /// Returns whether the expected number of steps has been recorded.
    fn is_complete(&self) -> bool {
        self.length.load(Ordering::Acquire) >= EXPECTED.len()
    }
}

/// Executes the steps on this CPU and records them in `line`. Returns whether the interrupts that
/// arrived while CR8 masked all but the highest class were delivered only after CR8 was lowered.
/// `line` must be empty and must live until all CPUs have finished.
///
/// Context: thread.
///
/// # Panics
///
/// If one of the vectors, which are reserved for this test, has another handler.
pub fn run_here(line: &'static TimeLine) -> bool {
    let context = &raw const *line as usize;
    let this = cpu::current();
    for vector in NESTED.into_iter().chain(PENDING) {
        let installed = raw::install(this, vector, handler, context);
        assert!(
            installed,
            "the vectors of this demonstration have another handler"
        );
    }
    let raised = priority::raise(NESTED[2].priority_class());
    raw::send_to_self(NESTED[0]);
    let stayed_pending = is_pending(NESTED[0]) && line.length.load(Ordering::Acquire) == 0;
    drop(raised);
    time::wait_until(TIMEOUT, || line.is_complete());
    for vector in NESTED.into_iter().chain(PENDING) {
        raw::begin_removal(this, vector);
        // This is a thread of the CPU itself, so no interrupt is in service.
        raw::end_removal(this, vector);
    }
    stayed_pending
}

extern "C" fn handler(context: usize, vector: u8) {
    // SAFETY: `run_here` registered it with a reference of lifetime `'static`.
    let line = unsafe { &*(context as *const TimeLine) };
    let vector = Vector(vector);
    line.note(begin(vector));
    if let Some(level) = NESTED.iter().position(|&known| known == vector) {
        let noted = line.length.load(Ordering::Acquire);
        match NESTED.get(level + 1) {
            Some(&higher) => {
                raw::send_to_self(higher);
                time::wait_until(TIMEOUT, || line.length.load(Ordering::Acquire) > noted);
            }
            None => {
                for lower in PENDING {
                    raw::send_to_self(lower);
                    time::wait_until(TIMEOUT, || is_pending(lower));
                }
            }
        }
    }
    line.note(end(vector));
}

/// Returns whether `vector` is pending in this CPU's local APIC.
fn is_pending(vector: Vector) -> bool {
    local().is_requested(vector)
}

/// The number of interrupts of the steps on each CPU.
pub const INTERRUPTS: u64 = (NESTED.len() + PENDING.len()) as u64;

const _: () = assert!(handlers::FIRST < NESTED[0].get());
