//! The local APIC's timer: its rate, and one-shot, periodic and TSC-deadline operation.

use core::fmt;

use spin::Once;
use tocsin_logic::apic::timer::{Divide, count};
use tocsin_logic::apic::{Lvt, Register, TimerMode};
use x86_64::registers::model_specific::Msr;

use super::clock::Reference;
use super::{LocalApic, local, vectors};
use crate::cpu::interrupts::{self, Handler};
use crate::hw::processor;
use crate::time::{self, Frequency, Source};

/// Length of one measurement, in milliseconds.
const WINDOW: u64 = 10;

/// The deadline of the TSC-deadline mode (SDM vol. 3A, 12.5.4.1).
const IA32_TSC_DEADLINE: u32 = 0x6e0;

/// What is known of the timer. The same on all CPUs.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    /// Frequency of its input, undivided, in Hz; `None` if it could not be measured.
    pub hertz: Option<u64>,
    /// Whether it can take a deadline of the time-stamp counter.
    pub has_deadline: bool,
    /// What it was measured against.
    pub reference: Reference,
}

static TIMER: Once<Timer> = Once::new();

/// What is known of the timer; `None` before it has been measured.
pub fn info() -> Option<&'static Timer> {
    TIMER.get()
}

/// Why the timer was not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimerError {
    /// Its frequency is not known, and it takes no deadline.
    NotMeasured,
    /// The time, in nanoseconds, is 0 or longer than it can count.
    OutOfRange(u64),
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMeasured => f.write_str("the timer's frequency is not known"),
            Self::OutOfRange(time) => write!(f, "{time} ns is 0 or more than the timer can count"),
        }
    }
}

/// Measures the timer and the time-stamp counter against `reference`.
///
/// On the boot CPU, interrupts off. `apic` is in the mode that firmware left, which is nearly
/// always xAPIC: some emulators cannot read the current count in x2APIC mode.
pub(crate) fn measure(apic: &LocalApic, reference: Reference) {
    let masked = Lvt::timer(vectors::TIMER.get(), TimerMode::OneShot).with_mask(true);
    apic.start_timer(masked, Divide::By1.encode(), u32::MAX);
    let counters = || {
        let down = apic.read(Register::TimerCurrent);
        [processor::timestamp(), u64::from(u32::MAX - down)]
    };
    let interval = reference.measure(WINDOW, counters);
    apic.start_timer(masked, Divide::By1.encode(), 0);
    TIMER.call_once(|| Timer {
        hertz: interval.and_then(|interval| interval.frequency(1)),
        has_deadline: processor::cpuid(1, 0).ecx & 1 << 24 != 0,
        reference,
    });
    // A frequency that the processor or the hypervisor states is exact.
    let stated = matches!(
        time::frequency().source,
        Source::CpuidCrystal | Source::Hypervisor
    );
    if let (false, Some(hertz)) = (stated, interval.and_then(|interval| interval.frequency(0))) {
        time::set_frequency(Frequency {
            hertz,
            source: reference.source(),
        });
    }
}

/// Makes `handler` answer the timer's interrupts, on all CPUs.
pub fn set_handler(handler: Handler) {
    interrupts::register(vectors::TIMER, handler);
}

/// Lets this CPU's timer interrupt once, `nanoseconds` from now.
///
/// # Errors
///
/// [`TimerError`], if it cannot count that.
pub fn start_once(nanoseconds: u64) -> Result<(), TimerError> {
    let timer = TIMER.get().ok_or(TimerError::NotMeasured)?;
    if timer.has_deadline {
        let hertz = u128::from(time::frequency().hertz);
        let cycles = u128::from(nanoseconds) * hertz / 1_000_000_000;
        let cycles = u64::try_from(cycles).map_err(|_| TimerError::OutOfRange(nanoseconds))?;
        let entry = Lvt::timer(vectors::TIMER.get(), TimerMode::TscDeadline);
        local().start_timer(entry, Divide::By1.encode(), 0);
        let deadline = processor::timestamp().wrapping_add(cycles).max(1);
        // The LVT entry must be in force before the deadline is set (SDM vol. 3A, 12.5.4.1).
        // SAFETY: 1. Only orders memory accesses.
        unsafe { core::arch::asm!("mfence", options(nostack, preserves_flags)) };
        // SAFETY: 1. CPUID reports the register.
        unsafe { Msr::new(IA32_TSC_DEADLINE).write(deadline) };
        return Ok(());
    }
    start_counting(timer, TimerMode::OneShot, nanoseconds)
}

/// Lets this CPU's timer interrupt every `nanoseconds`, until it is stopped.
///
/// # Errors
///
/// [`TimerError`], if it cannot count that.
pub fn start_periodic(nanoseconds: u64) -> Result<(), TimerError> {
    let timer = TIMER.get().ok_or(TimerError::NotMeasured)?;
    start_counting(timer, TimerMode::Periodic, nanoseconds)
}

/// Stops this CPU's timer.
pub fn stop() {
    let masked = Lvt::timer(vectors::TIMER.get(), TimerMode::OneShot).with_mask(true);
    local().start_timer(masked, Divide::By1.encode(), 0);
}

fn start_counting(timer: &Timer, mode: TimerMode, nanoseconds: u64) -> Result<(), TimerError> {
    let hertz = timer.hertz.ok_or(TimerError::NotMeasured)?;
    let out_of_range = TimerError::OutOfRange(nanoseconds);
    let count = count(hertz, nanoseconds)
        .filter(|_| nanoseconds > 0)
        .ok_or(out_of_range)?;
    local().start_timer(
        Lvt::timer(vectors::TIMER.get(), mode),
        count.divide.encode(),
        count.initial,
    );
    Ok(())
}
