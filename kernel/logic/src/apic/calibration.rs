//! Calibration of the TSC and the local APIC timer against a clock of known frequency.
//!
//! The counters cannot be read simultaneously, and an SMI, or the host of a virtual machine, may
//! interrupt the CPU between two reads for any time. Each measurement therefore records its
//! uncertainty, and the most precise of a few attempts is used ([`most_precise`]).

use crate::registers::Cpuid;
use core::fmt;

/// A reference clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The HPET's main counter (HPET specification 1.0a, 2.3.4 and 2.3.7).
    Hpet {
        /// The period of the counter in femtoseconds: bits 63:32 of the capabilities register.
        period: u32,
        /// Whether the counter is 64 bits wide; otherwise 32.
        wide: bool,
    },
    /// The ACPI PM timer (ACPI specification, 4.8.2.1), which counts at 3.579545 MHz.
    PmTimer {
        /// Whether the counter is 32 bits wide; otherwise 24.
        wide: bool,
    },
    /// A counter of the 8254, which counts down from 65536 at 105/88 MHz.
    Pit,
}

impl Clock {
    /// The frequency of the ACPI PM timer, in Hz.
    pub const PM_TIMER_HZ: u64 = 3_579_545;
    /// The maximum period that an HPET may report, in femtoseconds: 100 ns (HPET specification
    /// 1.0a, 2.3.4).
    pub const HPET_MAX_PERIOD: u32 = 100_000_000;

    /// Returns the clock of an HPET with this capabilities register (offset 0). Returns `None` if
    /// the period is 0 or above the maximum. A read of all ones, as where no HPET is present, has
    /// such a period.
    #[must_use]
    pub const fn hpet(capabilities: u64) -> Option<Self> {
        let period = (capabilities >> 32) as u32;
        if period == 0 || period > Self::HPET_MAX_PERIOD {
            return None;
        }
        Some(Self::Hpet {
            period,
            wide: capabilities & 1 << 13 != 0,
        })
    }

    /// The width of the counter in bits.
    #[must_use]
    pub const fn width(self) -> u32 {
        match self {
            Self::Hpet { wide: true, .. } => 64,
            Self::Hpet { wide: false, .. } | Self::PmTimer { wide: true } => 32,
            Self::PmTimer { wide: false } => 24,
            Self::Pit => 16,
        }
    }

    /// Returns the number of counts between two readings. The counter may have wrapped once in
    /// between; bits above the counter's width are ignored.
    #[must_use]
    pub const fn elapsed(self, start: u64, end: u64) -> u64 {
        let difference = match self {
            Self::Pit => start.wrapping_sub(end),
            _ => end.wrapping_sub(start),
        };
        difference & (u64::MAX >> (64 - self.width()))
    }

    /// The frequency as a fraction, in Hz.
    const fn hz(self) -> (u128, u128) {
        match self {
            Self::Hpet { period, .. } => (1_000_000_000_000_000, period as u128),
            Self::PmTimer { .. } => (Self::PM_TIMER_HZ as u128, 1),
            Self::Pit => (105_000_000, 88),
        }
    }

    /// Converts nanoseconds to counts, rounded up.
    #[must_use]
    pub const fn counts(self, nanoseconds: u64) -> u64 {
        let (n, d) = self.hz();
        let counts = (nanoseconds as u128 * n).div_ceil(d * 1_000_000_000);
        if counts > u64::MAX as u128 {
            u64::MAX
        } else {
            counts as u64
        }
    }

    /// Converts counts to nanoseconds, rounded down.
    #[must_use]
    pub const fn nanoseconds(self, counts: u64) -> u64 {
        let (n, d) = self.hz();
        // At most 2^64 * 10^8 * 10^9, which is below 2^121.
        let nanoseconds = counts as u128 * d * 1_000_000_000 / n;
        if nanoseconds > u64::MAX as u128 {
            u64::MAX
        } else {
            nanoseconds as u64
        }
    }

    /// Returns the frequency, in Hz, of a counter that advanced by `ticks` while this clock
    /// advanced by `counts`; rounded. Returns `None` if either is 0 or the result exceeds 64 bits.
    #[must_use]
    pub fn frequency(self, ticks: u64, counts: u64) -> Option<u64> {
        let (n, d) = self.hz();
        let counts = u128::from(counts) * d;
        if ticks == 0 || counts == 0 {
            return None;
        }
        // At most 2^64 * 10^15 + 2^91, which is below 2^115.
        u64::try_from((u128::from(ticks) * n + counts / 2) / counts).ok()
    }
}

/// The maximum number of measurements. The first that is precise enough is used, otherwise the most
/// precise one.
pub const ATTEMPTS: u32 = 10;

/// A measurement is precise enough if its uncertainty is at most its length divided by this value.
pub const PRECISION: u64 = 256;

/// The progress of other counters while a clock counted. The time-stamp counter, read before and
/// after each end, determines the uncertainty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement<T> {
    /// The other counters at the start.
    pub start: T,
    /// The other counters at the end.
    pub end: T,
    /// The number of counts of the clock.
    pub counts: u64,
    /// The duration in TSC cycles.
    pub length: u64,
    /// The uncertainty in TSC cycles: the time in which the clock may or may not have counted.
    pub uncertainty: u64,
}

impl<T> Measurement<T> {
    /// Whether the measurement is precise enough.
    #[must_use]
    pub const fn is_precise(&self) -> bool {
        self.uncertainty <= self.length / PRECISION
    }
}

/// Returns the first precise measurement, or the most precise of [`ATTEMPTS`]; `None` if the first
/// attempt fails because the clock does not run.
pub fn most_precise<T>(
    mut attempt: impl FnMut() -> Option<Measurement<T>>,
) -> Option<Measurement<T>> {
    let mut best = attempt()?;
    for _ in 1..ATTEMPTS {
        if best.is_precise() {
            break;
        }
        let Some(other) = attempt() else { break };
        // Compare fractions, because the measurements may differ in length.
        let is_better = u128::from(other.uncertainty) * u128::from(best.length)
            < u128::from(best.uncertainty) * u128::from(other.length);
        if is_better {
            best = other;
        }
    }
    Some(best)
}

/// The number of unchanged reads after which a clock counts as stopped. A count of the HPET or the
/// PM timer takes at most 0.28 us.
pub const READS: u32 = 10_000;

/// Waits until `clock`, whose count `read` returns, has advanced by `wanted` or more, and reads
/// `counters` at both ends. Returns `None` if the clock does not advance.
pub fn attempt<T>(
    clock: Clock,
    wanted: u64,
    timestamp: impl Fn() -> u64,
    read: impl Fn() -> u64,
    counters: impl Fn() -> T,
) -> Option<Measurement<T>> {
    // Start immediately after a change of the count, as at the end, so that both ends have the same
    // delay.
    let first = read();
    let (mut begin, mut before) = (first, timestamp());
    for _ in 0..READS {
        begin = read();
        if begin != first {
            break;
        }
        before = timestamp();
    }
    let start = counters();
    let running = timestamp();
    let (mut last, mut same) = (begin, 0);
    loop {
        let asked = timestamp();
        let now = read();
        let counts = clock.elapsed(begin, now);
        if counts >= wanted {
            let end = counters();
            let ended = timestamp();
            return Some(Measurement {
                start,
                end,
                counts,
                length: ended - before,
                uncertainty: (running - before) + (ended - asked),
            });
        }
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if same > READS {
            return None;
        }
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hpet { .. } => "HPET",
            Self::PmTimer { .. } => "ACPI PM timer",
            Self::Pit => "PIT",
        })
    }
}

/// Returns the TSC frequency in Hz from CPUID leaf 15h, which reports it exactly as a crystal
/// frequency and a ratio (SDM vol. 3B, 19.7.3).
///
/// Returns `None` if the leaf or the crystal frequency is missing; the frequency must then be
/// measured.
pub fn tsc_from_cpuid(mut cpuid: impl FnMut(u32, u32) -> Cpuid) -> Option<u64> {
    let (highest, ..) = cpuid(0, 0);
    if highest < 0x15 {
        return None;
    }
    let (denominator, numerator, crystal, _) = cpuid(0x15, 0);
    if denominator == 0 || numerator == 0 || crystal == 0 {
        return None;
    }
    Some(u64::from(crystal) * u64::from(numerator) / u64::from(denominator))
}
