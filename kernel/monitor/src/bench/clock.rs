//! TSC timestamps, and the wait loops.

use core::arch::asm;
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

use alloc::vec::Vec;

use tocsin_logic::bench::resolution;
use x86_64::instructions::interrupts;

use tocsin::ipi::wait;
use tocsin::sync::without_interrupts;

/// Iterations of the runs whose number of instructions is known.
const ITERATIONS: [u32; 3] = [1_000, 2_000, 3_000];

/// The unit of the time-stamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// A cycle: the counter runs at a constant rate in real time.
    Cycles,
    /// A guest instruction: QEMU counts the instructions.
    Instructions,
}

impl Clock {
    /// All clocks.
    pub const ALL: [Self; 2] = [Self::Cycles, Self::Instructions];

    /// The name of the clock, on the command line and as a unit.
    ///
    /// Context: any.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Cycles => "cycles",
            Self::Instructions => "instructions",
        }
    }

    /// The default number of samples of a metric. Instruction counts are nearly the same in each
    /// sample, so they need fewer.
    ///
    /// Context: any.
    #[must_use]
    pub fn samples(self) -> usize {
        match self {
            Self::Cycles => 10_000,
            Self::Instructions => 50,
        }
    }

    /// The number of iterations before the first sample, which warm up the caches and, under
    /// emulation, the translated code.
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

/// The error that the time-stamp counter does not count instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotCounted {
    /// The instructions of a run of known length.
    pub instructions: u64,
    /// The increment of the counter during this run.
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

/// Checks with runs of known length that the time-stamp counter counts the unit of `clock`.
pub(super) fn check(clock: Clock) -> Result<(), NotCounted> {
    if clock == Clock::Cycles {
        return Ok(());
    }
    for iterations in ITERATIONS {
        let run = || without_interrupts(|| known_run(iterations));
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

/// The number of runs of each length. At least one of them must be exact.
const ATTEMPTS: u32 = 4;

/// The number of runs from which the resolution is derived, and the number of different lengths,
/// which alternate.
const RUNS: u32 = 2_000;
const LENGTHS: u32 = 4;

/// Returns the resolution of the clock: the counter may advance in steps of more than 1.
pub(super) fn step(clock: Clock) -> u64 {
    match clock {
        Clock::Cycles => {
            let runs = (0..RUNS).map(|number| known_run(1 + number % LENGTHS).1);
            // Without a common step, the resolution is finer than the differences between the runs.
            resolution(&mut runs.collect::<Vec<u64>>()).unwrap_or(1)
        }
        // `check` has verified this with runs of known length.
        Clock::Instructions => 1,
    }
}

/// Returns the number of instructions from the first read of the time-stamp counter up to the
/// second, and the increment of the counter between them.
fn known_run(iterations: u32) -> (u64, u64) {
    let (start, end): (u64, u64);
    // SAFETY: RDTSC exists on every 64-bit processor, and CR4.TSD is clear. All registers that
    // change are declared.
    unsafe {
        asm!(
            "rdtsc", "shl rdx, 32", "or rax, rdx", "mov {start}, rax",
            "2: dec {iterations:e}", "jnz 2b",
            "rdtsc", "shl rdx, 32", "or rax, rdx",
            start = out(reg) start,
            iterations = inout(reg) iterations => _,
            out("rax") end, out("rdx") _,
            options(nomem, nostack),
        );
    }
    (4 + 2 * u64::from(iterations), end.wrapping_sub(start))
}

/// Whether [`relax`] executes PAUSE.
static PAUSES: AtomicBool = AtomicBool::new(true);

/// Sets the clock that [`relax`] and the wait for call completion use.
pub(super) fn set(clock: Clock) {
    PAUSES.store(clock == Clock::Instructions, Ordering::Relaxed);
    wait::set_spin_limit(match clock {
        Clock::Cycles => wait::SPIN_LIMIT,
        Clock::Instructions => 0,
    });
}

/// Returns whether [`relax`] executes PAUSE.
pub(super) fn pauses() -> bool {
    PAUSES.load(Ordering::Relaxed)
}

/// One iteration of a wait for a remote CPU.
///
/// Where instructions are counted, all CPUs share a thread of the emulator, and PAUSE lets the next
/// CPU run. Where each CPU has its own thread, PAUSE exits the translated code and takes the
/// emulator's lock, which would be measured instead of the interrupt.
#[inline]
pub(super) fn relax() {
    if pauses() {
        core::hint::spin_loop();
    }
}

/// Sleeps until an interrupt handler of this CPU has made `is_done` true.
///
/// Where instructions are counted, the CPU does not halt. QEMU's main thread advances the time to
/// the next deadline as soon as all CPUs are halted. If it is fast, it does not yet know the
/// instructions that the last CPU executed before HLT, and the interrupt is late by that number of
/// instructions.
pub(super) fn sleep_until(is_done: impl Fn() -> bool) {
    if pauses() {
        while !is_done() {
            relax();
        }
        return;
    }
    loop {
        interrupts::disable();
        if is_done() {
            return interrupts::enable();
        }
        tocsin::hw::processor::enable_and_halt();
    }
}

/// Reads the time-stamp counter, always with the same three instructions.
#[inline]
pub(super) fn stamp() -> u64 {
    let low: u64;
    // SAFETY: RDTSC exists on every 64-bit processor, and CR4.TSD is clear. All registers that
    // change are declared.
    unsafe {
        asm!("rdtsc", "shl rdx, 32", "or rax, rdx", out("rax") low, out("rdx") _, options(nostack));
    }
    low
}
