//! Frequencies from counts: how fast the TSC and the local APIC timer run,
//! measured against a clock whose frequency is known.
//!
//! Counters cannot be read at once, and an SMI, or on a virtual machine the host, may take the CPU away
//! in between for any time. So each measurement knows how much of it is doubtful, and the sharpest of a
//! few counts ([`sharpest`]).

use crate::registers::Cpuid;
use core::fmt;

/// A clock to measure against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// The HPET's main counter (HPET specification 1.0a, 2.3.4 and 2.3.7).
    Hpet {
        /// Femtoseconds for each count: bits 63:32 of the capabilities register.
        period: u32,
        /// Whether the counter has 64 bits; otherwise 32.
        wide: bool,
    },
    /// The ACPI PM timer (ACPI specification, 4.8.2.1), counting at 3.579545 MHz.
    PmTimer {
        /// Whether the counter has 32 bits; otherwise 24.
        wide: bool,
    },
    /// A counter of the 8254, counting down from 65536 at 105/88 MHz.
    Pit,
}

impl Clock {
    /// The frequency of the ACPI PM timer, in Hz.
    pub const PM_TIMER_HZ: u64 = 3_579_545;
    /// The longest period that the HPET may announce, in femtoseconds: 100 ns
    /// (HPET specification 1.0a, 2.3.4).
    pub const HPET_MAX_PERIOD: u32 = 100_000_000;

    /// An HPET with this capabilities register (offset 0); `None` if its period
    /// is 0 or longer than allowed, or if it reads as all ones, as where no HPET
    /// answers.
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

    /// The bits that the counter has.
    #[must_use]
    pub const fn width(self) -> u32 {
        match self {
            Self::Hpet { wide: true, .. } => 64,
            Self::Hpet { wide: false, .. } | Self::PmTimer { wide: true } => 32,
            Self::PmTimer { wide: false } => 24,
            Self::Pit => 16,
        }
    }

    /// The counts from one reading to a later one. The counter may have wrapped
    /// once in between; bits that it does not have are ignored.
    #[must_use]
    pub const fn elapsed(self, start: u64, end: u64) -> u64 {
        let difference = match self {
            Self::Pit => start.wrapping_sub(end),
            _ => end.wrapping_sub(start),
        };
        difference & (u64::MAX >> (64 - self.width()))
    }

    /// Its frequency as a fraction, in Hz.
    const fn hz(self) -> (u128, u128) {
        match self {
            Self::Hpet { period, .. } => (1_000_000_000_000_000, period as u128),
            Self::PmTimer { .. } => (Self::PM_TIMER_HZ as u128, 1),
            Self::Pit => (105_000_000, 88),
        }
    }

    /// The counts for a time in nanoseconds, rounded up.
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

    /// The nanoseconds for a number of counts, rounded down.
    #[must_use]
    pub const fn nanoseconds(self, counts: u64) -> u64 {
        let (n, d) = self.hz();
        // At most 2^64 * 10^8 * 10^9: below 2^121.
        let nanoseconds = counts as u128 * d * 1_000_000_000 / n;
        if nanoseconds > u64::MAX as u128 {
            u64::MAX
        } else {
            nanoseconds as u64
        }
    }

    /// The frequency, in Hz, of what advanced by `ticks` while this clock advanced
    /// by `counts`; rounded. `None` if either is 0 or the result has more than 64
    /// bits.
    #[must_use]
    pub fn frequency(self, ticks: u64, counts: u64) -> Option<u64> {
        let (n, d) = self.hz();
        let counts = u128::from(counts) * d;
        if ticks == 0 || counts == 0 {
            return None;
        }
        // At most 2^64 * 10^15 + 2^91: below 2^115.
        u64::try_from((u128::from(ticks) * n + counts / 2) / counts).ok()
    }
}

/// Measurements that are tried until one is sharp; the sharpest of them counts.
pub const ATTEMPTS: u32 = 10;

/// A measurement is sharp if not more than this part of it is doubtful.
pub const SHARP: u64 = 256;

/// How far other counters came while a clock counted. The time-stamp counter, read before and after each
/// end, tells how much of that is doubtful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measurement<T> {
    /// The other counters at the beginning.
    pub start: T,
    /// The same at the end.
    pub end: T,
    /// What the clock counted.
    pub counts: u64,
    /// TSC cycles that it took.
    pub length: u64,
    /// Those of them in which the clock may have counted or not.
    pub doubt: u64,
}

impl<T> Measurement<T> {
    /// Whether it says enough.
    #[must_use]
    pub const fn is_sharp(&self) -> bool {
        self.doubt <= self.length / SHARP
    }
}

/// The first sharp measurement, or the sharpest of [`ATTEMPTS`]; `None` if the first finds no clock.
pub fn sharpest<T>(mut attempt: impl FnMut() -> Option<Measurement<T>>) -> Option<Measurement<T>> {
    let mut best = attempt()?;
    for _ in 1..ATTEMPTS {
        if best.is_sharp() {
            break;
        }
        let Some(other) = attempt() else { break };
        // As fractions, because they need not have taken equally long.
        let is_better = u128::from(other.doubt) * u128::from(best.length)
            < u128::from(best.doubt) * u128::from(other.length);
        if is_better {
            best = other;
        }
    }
    Some(best)
}

/// Reads of a clock that show no change before it counts as stopped. A count takes at most 0.28 us.
pub const READS: u32 = 10_000;

/// Lets `clock`, whose count `read` gives, count `wanted` or more, and reads `counters` at both ends. `None` if the clock stands still.
pub fn attempt<T>(
    clock: Clock,
    wanted: u64,
    timestamp: impl Fn() -> u64,
    read: impl Fn() -> u64,
    counters: impl Fn() -> T,
) -> Option<Measurement<T>> {
    // Right after a change, as at the end, so that both ends are equally late.
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
                doubt: (running - before) + (ended - asked),
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

/// The TSC's frequency in Hz where CPUID states it exactly: leaf 15h, as the
/// crystal's frequency times a ratio (SDM vol. 3B, 19.7.3).
///
/// `None` where the leaf or the crystal's frequency is missing; measure then.
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
