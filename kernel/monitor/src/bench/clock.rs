//! Stamps, and how to wait.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use alloc::vec::Vec;

use tocsin_logic::bench::resolution;

use tocsin::ipi::call;
use tocsin::sync::without_interrupts;

/// Turns of the runs whose instructions are known.
const TURNS: [u32; 3] = [1_000, 2_000, 3_000];

/// What one cycle of the time-stamp counter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// A cycle: the counter goes with the time.
    Cycles,
    /// A guest instruction: QEMU counts them.
    Instructions,
}

impl Clock {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Cycles, Self::Instructions];

    /// What it is called, on the command line and as a unit.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cycles => "cycles",
            Self::Instructions => "instructions",
        }
    }

    /// Samples of a figure, unless others are asked for: instructions come out alike.
    #[must_use]
    pub fn samples(self) -> usize {
        match self {
            Self::Cycles => 10_000,
            Self::Instructions => 50,
        }
    }

    /// Rounds before the first sample, for caches and for translation under emulation.
    pub(super) fn warm_up(self) -> usize {
        match self {
            Self::Cycles => 1_000,
            Self::Instructions => 10,
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The time-stamp counter counts no instructions here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCounted {
    /// Of a run whose length is known.
    pub instructions: u64,
    /// What the counter went on by meanwhile.
    pub ticks: u64,
}

impl fmt::Display for NotCounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            instructions,
            ticks,
        } = self;
        write!(
            f,
            "a run of {instructions} instructions took {ticks} ticks of the TSC, so its ticks are no instructions; \
             `make run ACCEL=tcg QEMU_ARGS='-icount shift=0,sleep=off'` boots where they are, \
             and clock=cycles measures here"
        )
    }
}

impl core::error::Error for NotCounted {}

/// Whether the time-stamp counter counts what this clock does: runs of known lengths tell.
pub(super) fn check(clock: Clock) -> Result<(), NotCounted> {
    if clock == Clock::Cycles {
        return Ok(());
    }
    for turns in TURNS {
        let run = || without_interrupts(|| known_run(turns));
        // Where CPUs share a thread of the emulator, another CPU may be scheduled in the middle of
        // a run.
        let is_exact = (0..ATTEMPTS)
            .map(|_| run())
            .any(|(instructions, ticks)| instructions == ticks);
        if !is_exact {
            let (instructions, ticks) = run();
            return Err(NotCounted {
                instructions,
                ticks,
            });
        }
    }
    Ok(())
}

/// Number of runs of a length; one of them must be exact.
const ATTEMPTS: u32 = 4;

/// Runs from which the clock's step is told, and lengths that they have in turns.
const RUNS: u32 = 2_000;
const LENGTHS: u32 = 4;

/// The step in which the clock goes: a counter need not go on by one.
pub(super) fn step(clock: Clock) -> u64 {
    match clock {
        Clock::Cycles => {
            let runs = (0..RUNS).map(|number| known_run(1 + number % LENGTHS).1);
            // Without one, the step is finer than what comes in between.
            resolution(&mut runs.collect::<Vec<u64>>()).unwrap_or(1)
        }
        // Runs of known lengths have shown it.
        Clock::Instructions => 1,
    }
}

/// So many instructions, from the first reading of the time-stamp counter up to the second, and what it went on
/// by.
fn known_run(turns: u32) -> (u64, u64) {
    let (start, end): (u64, u64);
    // SAFETY: 1. RDTSC exists on every 64-bit processor, and CR4.TSD is clear. 2. The registers that
    // change are named.
    unsafe {
        asm!(
            "rdtsc", "shl rdx, 32", "or rax, rdx", "mov {start}, rax",
            "2: dec {turns:e}", "jnz 2b",
            "rdtsc", "shl rdx, 32", "or rax, rdx",
            start = out(reg) start,
            turns = inout(reg) turns => _,
            out("rax") end, out("rdx") _,
            options(nomem, nostack),
        );
    }
    (4 + 2 * u64::from(turns), end.wrapping_sub(start))
}

/// Whether [`relax`] pauses.
static PAUSES: AtomicBool = AtomicBool::new(true);

/// Tells [`relax`] what a cycle is, and those who wait for calls.
pub(super) fn set(clock: Clock) {
    PAUSES.store(clock == Clock::Instructions, Ordering::Relaxed);
    call::set_eager_looks(match clock {
        Clock::Cycles => call::EAGER_LOOKS,
        Clock::Instructions => 0,
    });
}

/// Whether [`relax`] pauses: see there.
pub(super) fn pauses() -> bool {
    PAUSES.load(Ordering::Relaxed)
}

/// One turn of a wait for another CPU.
///
/// Where instructions are counted, all CPUs share a thread of the emulator, and PAUSE lets the next one
/// run. Where each has its own, PAUSE leaves the translated code and takes the emulator's lock, which
/// would be measured instead of the interrupt.
#[inline]
pub(super) fn relax() {
    if pauses() {
        core::hint::spin_loop();
    }
}

/// Reads the time-stamp counter: three instructions, always the same.
#[inline]
pub(super) fn stamp() -> u64 {
    let low: u64;
    // SAFETY: 1. RDTSC exists on every 64-bit processor, and CR4.TSD is clear. 2. The registers that
    // change are named.
    unsafe {
        asm!("rdtsc", "shl rdx, 32", "or rax, rdx", out("rax") low, out("rdx") _, options(nostack));
    }
    low
}
