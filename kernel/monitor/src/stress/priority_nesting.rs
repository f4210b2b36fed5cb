//! Interrupts inside interrupts, shown: the same steps on every CPU, each noting what ran when.
//!
//! Each step sends this CPU interrupts from inside a handler. One of a higher class must run at
//! once, inside it; those of the same and of lower classes must wait until the last handler of their
//! class or above has ended, and then run in the order of their classes.

use crate::raw;
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tocsin_logic::vector::Vector;

use tocsin::apic::local;
use tocsin::cpu::{self, interrupts};
use tocsin::hw::processor::timestamp;
use tocsin::{priority, time};

/// The vectors, two in each class but the highest: `A` nests, `B` is made to wait.
const A: [u8; 4] = [0x29, 0x51, 0x91, 0xe1];
const B: [u8; 3] = [0x2a, 0x52, 0x92];

/// What a handler notes: the vector, and whether it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The vector.
    pub vector: u8,
    /// Whether its handler begins; otherwise it ends.
    pub begins: bool,
}

/// What must come: A of classes 2, 5, 9 and 14 nest. The last sends B of all the lower classes; each
/// runs when the A of its own class has ended, inside the next lower A.
pub const EXPECTED: [Step; 14] = [
    begin(A[0]),
    begin(A[1]),
    begin(A[2]),
    begin(A[3]),
    end(A[3]),
    end(A[2]),
    begin(B[2]),
    end(B[2]),
    end(A[1]),
    begin(B[1]),
    end(B[1]),
    end(A[0]),
    begin(B[0]),
    end(B[0]),
];

const fn begin(vector: u8) -> Step {
    Step {
        vector,
        begins: true,
    }
}

const fn end(vector: u8) -> Step {
    Step {
        vector,
        begins: false,
    }
}

/// Most steps that are kept; more than there can be.
const STEPS: usize = 32;

/// Time that an interrupt to oneself may take to arrive, in nanoseconds: far more than it does. What is
/// missing then shows in the time line.
const PATIENCE: u64 = 2_000_000_000;

/// What one CPU has noted. Only that CPU writes; others read when it is done.
#[derive(Debug)]
pub struct TimeLine {
    length: AtomicUsize,
    // Vector, and bit 8 for a begin.
    steps: [AtomicU32; STEPS],
    times: [core::sync::atomic::AtomicU64; STEPS],
}

impl Default for TimeLine {
    fn default() -> Self {
        Self::new()
    }
}

impl TimeLine {
    /// An empty one.
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

    /// Empties it. Nobody may be noting or reading.
    ///
    /// Context: thread.
    pub fn clear(&self) {
        self.length.store(0, Ordering::Release);
    }

    /// Whether anything has been noted.
    ///
    /// Context: thread.
    #[must_use]
    pub fn began(&self) -> bool {
        self.length.load(Ordering::Acquire) > 0
    }

    fn note(&self, step: Step) {
        // A handler of a higher class may note something between the two lines; its place is then
        // after this one's, as it ran.
        let index = self.length.fetch_add(1, Ordering::Relaxed);
        if let (Some(place), Some(time)) = (self.steps.get(index), self.times.get(index)) {
            time.store(timestamp(), Ordering::Relaxed);
            place.store(
                u32::from(step.vector) | u32::from(step.begins) << 8,
                Ordering::Release,
            );
        }
    }

    /// The steps, each with its time in TSC cycles.
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
                    vector: step as u8,
                    begins: step >> 8 != 0,
                };
                (step, time.load(Ordering::Relaxed))
            })
    }

    /// Whether all came as it must.
    ///
    /// Context: thread.
    #[must_use]
    pub fn is_as_expected(&self) -> bool {
        self.steps().map(|(step, _)| step).eq(EXPECTED)
    }

    /// Whether as many steps came as must.
    fn is_complete(&self) -> bool {
        self.length.load(Ordering::Acquire) >= EXPECTED.len()
    }
}

/// Goes through the steps on the CPU that runs this, in a thread, and notes them in `line`. Returns
/// whether the interrupts that arrived while CR8 held back all but the highest class ran only
/// when it fell. `line` must be empty and live until all CPUs are done.
///
/// Context: thread.
///
/// # Panics
///
/// If one of the vectors, which belong to nobody else, has another handler.
pub fn run_here(line: &'static TimeLine) -> bool {
    let context = &raw const *line as usize;
    let this = cpu::current();
    for vector in A.into_iter().chain(B) {
        let installed = raw::install(this, Vector(vector), handler, context);
        assert!(
            installed,
            "the vectors of this demonstration have another handler"
        );
    }
    let raised = priority::raise(Vector(A[2]).priority_class());
    raw::send_to_self(Vector(A[0]));
    let held = is_pending(A[0]) && line.length.load(Ordering::Acquire) == 0;
    drop(raised);
    time::wait_until(PATIENCE, || line.is_complete());
    for vector in A.into_iter().chain(B) {
        raw::begin_removal(this, Vector(vector));
        // In a thread of the CPU itself, nothing is in service.
        raw::end_removal(this, Vector(vector));
    }
    held
}

extern "C" fn handler(context: usize, vector: u8) {
    // SAFETY: 1. `run_here` registered it with a reference that lives for ever.
    let line = unsafe { &*(context as *const TimeLine) };
    line.note(begin(vector));
    if let Some(level) = A.iter().position(|&known| known == vector) {
        let noted = line.length.load(Ordering::Acquire);
        match A.get(level + 1) {
            Some(&higher) => {
                raw::send_to_self(Vector(higher));
                time::wait_until(PATIENCE, || line.length.load(Ordering::Acquire) > noted);
            }
            None => {
                for lower in B {
                    raw::send_to_self(Vector(lower));
                    time::wait_until(PATIENCE, || is_pending(lower));
                }
            }
        }
    }
    line.note(end(vector));
}

/// Whether `vector` waits in this CPU's local APIC.
fn is_pending(vector: u8) -> bool {
    local().is_requested(Vector(vector))
}

/// Number of interrupts that the steps take on each CPU.
pub const INTERRUPTS: u64 = (A.len() + B.len()) as u64;

const _: () = assert!(interrupts::FIRST < A[0]);
