//! The local APIC timer: its rate, and its registers in one-shot, periodic and TSC-deadline mode.
//!
//! Each CPU's timer belongs to its queue, `timer::queue`; this module only writes the registers.

use core::fmt;

use spin::Once;
use tocsin_logic::apic::timer::{Divide, Rate, count};
use tocsin_logic::apic::{Lvt, Register, TimerMode};
use tocsin_logic::vector::Vector;
use x86_64::registers::model_specific::Msr;

use crate::apic::{LocalApic, local, vectors};
use crate::hw::processor;
use crate::time::{self, Frequency, Source};
use crate::timer::reference::Reference;

/// Length of one measurement, in milliseconds.
const WINDOW: u64 = 10;

/// The deadline of the TSC-deadline mode (SDM vol. 3A, 12.5.4.1).
const IA32_TSC_DEADLINE: u32 = 0x6e0;

/// The properties of the local APIC timer, which are the same on all CPUs.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    /// Frequency of its input, undivided, in Hz; `None` if it could not be measured.
    pub hertz: Option<u64>,
    /// Whether it supports TSC-deadline mode.
    pub has_deadline: bool,
    /// The clock against which it was measured.
    pub reference: Reference,
    /// How deadlines are programmed; `None` if the timer cannot wait for deadlines.
    method: Option<Method>,
}

/// How a deadline, in TSC cycles, is programmed into the timer.
#[derive(Clone, Copy, Debug)]
enum Method {
    /// Unchanged, in TSC-deadline mode.
    TscDeadline,
    /// As a count from now, in one-shot mode, limited by the width of the counter.
    Count(Rate),
}

static TIMER: Once<Timer> = Once::new();

/// The properties of the timer; `None` before it has been measured.
///
/// Context: any.
pub fn info() -> Option<&'static Timer> {
    TIMER.get()
}

/// Whether the timer can wait for deadlines: its rate is known, or it has TSC-deadline mode.
///
/// Context: any.
#[must_use]
pub fn is_usable() -> bool {
    method().is_some()
}

fn method() -> Option<Method> {
    TIMER.get()?.method
}

/// The reason why the timer was not started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CountError {
    /// Its frequency is not known.
    NotMeasured,
    /// The timer lacks TSC-deadline mode.
    NoDeadlines,
    /// The time, in nanoseconds, is 0 or longer than the counter can count.
    OutOfRange(u64),
}

impl fmt::Display for CountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotMeasured => f.write_str("the timer's frequency is not known"),
            Self::NoDeadlines => f.write_str("the timer takes no deadlines of the TSC"),
            Self::OutOfRange(time) => write!(f, "{time} ns is 0 or more than the timer can count"),
        }
    }
}

impl core::error::Error for CountError {}

/// Measures the timer and the time-stamp counter against `reference`.
///
/// Called on the boot CPU with interrupts disabled. `apic` is in the mode that firmware left, which
/// is nearly always xAPIC: some emulators cannot read the current count in x2APIC mode.
pub(crate) fn measure(apic: &LocalApic, reference: Reference) {
    let masked = Lvt::timer(vectors::TIMER.get(), TimerMode::OneShot).with_mask(true);
    apic.start_timer(masked, Divide::By1.encode(), u32::MAX);
    let interval = reference.measure(WINDOW, || counters(apic));
    apic.start_timer(masked, Divide::By1.encode(), 0);
    // A frequency that CPUID or the hypervisor reports is exact.
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
    let hertz = interval.and_then(|interval| interval.frequency(1));
    let has_deadline = processor::cpuid(1, 0).ecx & 1 << 24 != 0;
    let method = if has_deadline {
        Some(Method::TscDeadline)
    } else {
        let rate = hertz.and_then(|hertz| Rate::new(hertz, time::frequency().hertz));
        rate.map(Method::Count)
    };
    TIMER.call_once(|| Timer {
        hertz,
        has_deadline,
        reference,
        method,
    });
}

/// The time-stamp counter and the elapsed count of the timer. Not inlined: the same instructions
/// between the two reads at both ends of a measurement make their ratio exact.
#[inline(never)]
fn counters(apic: &LocalApic) -> [u64; 2] {
    let down = apic.read(Register::TimerCurrent);
    [processor::timestamp(), u64::from(u32::MAX - down)]
}

/// Prepares this CPU's timer for deadlines, with no deadline set.
pub(crate) fn prepare() {
    prepare_at(vectors::TIMER);
}

/// As [`prepare`], with another vector.
pub(crate) fn prepare_at(vector: Vector) {
    let mode = match method() {
        Some(Method::TscDeadline) => TimerMode::TscDeadline,
        _ => TimerMode::OneShot,
    };
    let entry = Lvt::timer(vector.get(), mode);
    local().start_timer(entry, Divide::By1.encode(), 0);
    // The new mode must be in force before a deadline is written, and a memory-mapped write of the
    // LVT entry is not ordered before a WRMSR (SDM vol. 3A, 12.5.4.1).
    // SAFETY: It only orders memory accesses.
    unsafe { core::arch::asm!("mfence", options(nostack, preserves_flags)) };
}

/// Programs this CPU's timer to interrupt at `deadline`, in TSC cycles; at once if the deadline is
/// past. It may interrupt earlier where the counter is too short. Must be called after [`prepare`].
pub(crate) fn set_deadline(deadline: u64) {
    match method() {
        Some(Method::TscDeadline) => write_deadline(deadline.max(1)),
        Some(Method::Count(rate)) => {
            let apic = local();
            // The time from here to the write is added to the wait.
            let wait = deadline.saturating_sub(processor::timestamp());
            apic.set_timer_count(rate.count(wait));
        }
        None => {}
    }
}

/// Clears the deadline. An interrupt that has been accepted already is still delivered.
pub(crate) fn clear_deadline() {
    match method() {
        Some(Method::TscDeadline) => write_deadline(0),
        _ => local().set_timer_count(0),
    }
}

fn write_deadline(deadline: u64) {
    // SAFETY: CPUID reports the register, otherwise this mode would not have been chosen.
    unsafe { Msr::new(IA32_TSC_DEADLINE).write(deadline) };
}

/// Starts this CPU's timer in one-shot mode: it interrupts once, `nanoseconds` from now.
///
/// # Errors
///
/// [`CountError`], if the timer cannot count that time.
pub(crate) fn start_once(nanoseconds: u64) -> Result<(), CountError> {
    start_counting(TimerMode::OneShot, nanoseconds)
}

/// Starts this CPU's timer in periodic mode: it interrupts every `nanoseconds`, until it is
/// stopped.
///
/// # Errors
///
/// [`CountError`], if the timer cannot count that time.
pub(crate) fn start_periodic(nanoseconds: u64) -> Result<(), CountError> {
    start_counting(TimerMode::Periodic, nanoseconds)
}

/// Starts this CPU's timer in TSC-deadline mode: it interrupts once, `nanoseconds` from now.
///
/// # Errors
///
/// [`CountError`], if the timer lacks TSC-deadline mode.
pub(crate) fn start_deadline(nanoseconds: u64) -> Result<(), CountError> {
    let Some(Method::TscDeadline) = method() else {
        return Err(CountError::NoDeadlines);
    };
    prepare();
    let now = processor::timestamp();
    write_deadline(now.saturating_add(time::nanoseconds_to_cycles(nanoseconds)));
    Ok(())
}

/// Stops this CPU's timer.
pub(crate) fn stop() {
    let masked = Lvt::timer(vectors::TIMER.get(), TimerMode::OneShot).with_mask(true);
    local().start_timer(masked, Divide::By1.encode(), 0);
}

fn start_counting(mode: TimerMode, nanoseconds: u64) -> Result<(), CountError> {
    let hertz = TIMER.get().and_then(|timer| timer.hertz);
    let count = count(hertz.ok_or(CountError::NotMeasured)?, nanoseconds)
        .filter(|_| nanoseconds > 0)
        .ok_or(CountError::OutOfRange(nanoseconds))?;
    local().start_timer(
        Lvt::timer(vectors::TIMER.get(), mode),
        count.divide.encode(),
        count.initial,
    );
    Ok(())
}
