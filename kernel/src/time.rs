//! Time since the kernel started, from the time-stamp counter.

use core::fmt;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use tocsin_logic::apic::calibration::{Measurement, tsc_from_cpuid};

use crate::hw::{pit, processor};

/// The source of the frequency of the time-stamp counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Source {
    /// CPUID.15H: the ratio to a crystal whose frequency is given (SDM vol. 3B, 19.7.3).
    CpuidCrystal,
    /// The hypervisor's timing leaf, `CPUID.4000_0010H`.
    Hypervisor,
    /// Counted against the main counter of the HPET.
    Hpet,
    /// Counted against the ACPI power-management timer.
    PmTimer,
    /// Counted against channel 2 of the 8254.
    Pit,
    /// The frequency is unknown: 1 GHz is assumed, and all times are estimates.
    Assumed,
}

impl Source {
    const ALL: [Self; 6] = [
        Self::CpuidCrystal,
        Self::Hypervisor,
        Self::Hpet,
        Self::PmTimer,
        Self::Pit,
        Self::Assumed,
    ];
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CpuidCrystal => "CPUID leaf 15H",
            Self::Hypervisor => "the hypervisor's CPUID leaf",
            Self::Hpet => "measured against the HPET",
            Self::PmTimer => "measured against the ACPI PM timer",
            Self::Pit => "measured against the PIT",
            Self::Assumed => "unknown, assumed",
        })
    }
}

/// The frequency of the time-stamp counter, with its source.
#[derive(Clone, Copy, Debug)]
pub struct Frequency {
    /// The frequency in Hz; never 0.
    pub hertz: u64,
    /// The source of the frequency.
    pub source: Source,
}

/// The clock: `nanoseconds = BASE_NANOSECONDS + (TSC - BASE_CYCLES) / HERTZ`.
static BASE_CYCLES: AtomicU64 = AtomicU64::new(0);
static BASE_NANOSECONDS: AtomicU64 = AtomicU64::new(0);
static HERTZ: AtomicU64 = AtomicU64::new(1_000_000_000);
static SOURCE: AtomicU8 = AtomicU8::new(Source::Assumed as u8);

/// Sets time 0 to now. The frequency is taken as 1 GHz until [`measure`] has returned.
///
/// Context: once, on the boot CPU, before any other function of this module.
pub(crate) fn start() {
    BASE_CYCLES.store(processor::timestamp(), Ordering::Relaxed);
}

/// Determines the frequency, which may take 10 ms.
///
/// Context: once, on the boot CPU, before there are others.
pub(crate) fn measure() {
    let first = learn_frequency();
    HERTZ.store(first.hertz, Ordering::Relaxed);
    SOURCE.store(first.source as u8, Ordering::Relaxed);
}

/// Changes the frequency to a more exact one, from the current time on. On the boot CPU, before
/// other CPUs run.
pub(crate) fn set_frequency(better: Frequency) {
    let now = processor::timestamp();
    BASE_NANOSECONDS.store(nanoseconds_at(now), Ordering::Relaxed);
    BASE_CYCLES.store(now, Ordering::Relaxed);
    HERTZ.store(better.hertz.max(1), Ordering::Relaxed);
    SOURCE.store(better.source as u8, Ordering::Relaxed);
}

/// The frequency of the time-stamp counter.
///
/// Context: any.
pub fn frequency() -> Frequency {
    let source = SOURCE.load(Ordering::Relaxed);
    Frequency {
        hertz: HERTZ.load(Ordering::Relaxed),
        source: Source::ALL
            .into_iter()
            .find(|&known| known as u8 == source)
            .unwrap_or(Source::Assumed),
    }
}

/// Nanoseconds since the kernel started.
///
/// Context: any.
#[must_use]
pub fn nanoseconds() -> u64 {
    nanoseconds_at(processor::timestamp())
}

/// The time at which the time-stamp counter reads `timestamp`, in nanoseconds since the kernel
/// started.
///
/// Context: any.
#[must_use]
pub fn nanoseconds_at(timestamp: u64) -> u64 {
    // Another CPU's counter may be slightly behind the one from which the base was read.
    let cycles = timestamp.saturating_sub(BASE_CYCLES.load(Ordering::Relaxed));
    let since_base = cycles_to_nanoseconds(cycles);
    BASE_NANOSECONDS
        .load(Ordering::Relaxed)
        .saturating_add(since_base)
}

/// The duration of `cycles` TSC cycles, in nanoseconds.
///
/// Context: any.
#[must_use]
pub fn cycles_to_nanoseconds(cycles: u64) -> u64 {
    let hertz = u128::from(HERTZ.load(Ordering::Relaxed));
    u64::try_from(u128::from(cycles) * 1_000_000_000 / hertz).unwrap_or(u64::MAX)
}

/// The duration of `nanoseconds`, in TSC cycles, rounded up.
///
/// Context: any.
#[must_use]
pub fn nanoseconds_to_cycles(nanoseconds: u64) -> u64 {
    let hertz = u128::from(HERTZ.load(Ordering::Relaxed));
    u64::try_from((u128::from(nanoseconds) * hertz).div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
}

/// The first value of the time-stamp counter at which [`nanoseconds`] returns `time` or more;
/// `u64::MAX` for a time that the counter does not reach.
///
/// Context: any.
#[must_use]
pub fn timestamp_at(time: u64) -> u64 {
    let since_base = time.saturating_sub(BASE_NANOSECONDS.load(Ordering::Relaxed));
    let cycles = nanoseconds_to_cycles(since_base);
    BASE_CYCLES.load(Ordering::Relaxed).saturating_add(cycles)
}

/// Whether `duration` nanoseconds have passed since `start`, a result of [`nanoseconds`].
///
/// Context: any.
#[must_use]
pub fn has_passed(start: u64, duration: u64) -> bool {
    nanoseconds().saturating_sub(start) >= duration
}

/// Spins for a duration in nanoseconds.
///
/// Context: any.
pub fn spin_for(duration: u64) {
    let start = nanoseconds();
    while !has_passed(start, duration) {
        core::hint::spin_loop();
    }
}

/// The maximum time between two polls that is accounted as waiting, in nanoseconds.
const MAX_POLL_TIME: u64 = 1_000_000;

/// Time after which a wait for another CPU is logged, in nanoseconds.
pub const WAIT_LIMIT: u64 = 3_000_000_000;

/// The accumulated waiting time of this CPU.
///
/// Only the time in which the CPU runs counts: if a host has more virtual CPUs than physical ones,
/// a virtual CPU that is not scheduled makes no progress, and the CPU for which it waits may make
/// none either.
#[derive(Debug)]
struct WaitTime {
    last: u64,
    waited: u64,
}

impl WaitTime {
    fn new() -> Self {
        Self {
            last: nanoseconds(),
            waited: 0,
        }
    }

    /// Accounts for `polls` further polls. Returns the accumulated time.
    fn account(&mut self, polls: u64) -> u64 {
        let now = nanoseconds();
        self.waited += now.saturating_sub(self.last).min(polls * MAX_POLL_TIME);
        self.last = now;
        self.waited
    }
}

/// Number of polls between two readings of the clock, a power of two.
pub(crate) const POLLS_PER_CHECK: u32 = 16;

/// Detects, once, that a wait has taken [`WAIT_LIMIT`].
#[derive(Debug)]
pub(crate) struct LongWait {
    polls: u32,
    waited: Option<WaitTime>,
    is_reported: bool,
}

impl LongWait {
    /// The state at the beginning of a wait.
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            polls: 0,
            waited: None,
            is_reported: false,
        }
    }

    /// Must be called between two polls of the wait. Returns whether the caller must now log the
    /// long wait.
    #[inline]
    pub(crate) fn poll(&mut self) -> bool {
        self.polls = self.polls.wrapping_add(1);
        self.polls.is_multiple_of(POLLS_PER_CHECK) && self.check()
    }

    /// As [`poll`](Self::poll), after [`POLLS_PER_CHECK`] polls.
    #[cold]
    pub(crate) fn check(&mut self) -> bool {
        let waited = self.waited.get_or_insert_with(WaitTime::new);
        let waited = waited.account(POLLS_PER_CHECK.into());
        let is_long = waited >= WAIT_LIMIT && !self.is_reported;
        self.is_reported |= is_long;
        is_long
    }
}

/// Spins until `condition` is true or this CPU has run for `limit` nanoseconds. Returns whether the
/// condition is true.
///
/// Context: any; the condition must be one that may be evaluated there.
pub fn wait_until(limit: u64, condition: impl Fn() -> bool) -> bool {
    let mut waited = WaitTime::new();
    let mut time = 0;
    while !condition() {
        if time >= limit {
            return false;
        }
        core::hint::spin_loop();
        time = waited.account(1);
    }
    true
}

fn learn_frequency() -> Frequency {
    if let Some(hertz) = tsc_from_cpuid(processor::cpuid_registers) {
        return Frequency {
            hertz: hertz.max(1),
            source: Source::CpuidCrystal,
        };
    }
    if processor::has_hypervisor() {
        let kilohertz = processor::cpuid(0x4000_0010, 0).eax;
        if kilohertz != 0 {
            return Frequency {
                hertz: u64::from(kilohertz) * 1000,
                source: Source::Hypervisor,
            };
        }
    }
    // 10 ms: long enough for an error below 0.1 % with a read that takes a few microseconds.
    let ticks = u16::try_from(pit::FREQUENCY / 100).expect("10 ms fit the 16-bit counter");
    match pit::measure(ticks, processor::timestamp) {
        Some(Measurement { start, end, .. }) if end > start => {
            let hertz = (end - start) * pit::FREQUENCY / u64::from(ticks);
            Frequency {
                hertz: hertz.max(1),
                source: Source::Pit,
            }
        }
        _ => Frequency {
            hertz: 1_000_000_000,
            source: Source::Assumed,
        },
    }
}
