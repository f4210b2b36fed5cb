//! Frequencies from counts: how fast the TSC and the local APIC timer run,
//! measured against a clock whose frequency is known.
//!
//! One measurement can be wrong by any amount: an SMI, or on a virtual machine
//! the host, may take the CPU away between reading one counter and the other. So
//! several are taken, those that stand apart are thrown away, and the median of
//! the rest counts ([`choose`]).

use crate::topology::cpuid::Cpuid;
use arrayvec::ArrayVec;
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

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Hpet { .. } => "HPET",
            Self::PmTimer { .. } => "ACPI PM timer",
            Self::Pit => "PIT",
        })
    }
}

/// The most measurements that [`choose`] takes.
pub const MAX_MEASUREMENTS: usize = 16;

/// What several measurements of one frequency say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The frequency in Hz.
    pub hz: u64,
    /// How many measurements agreed.
    pub agreed: usize,
    /// How many stood apart and were thrown away.
    pub rejected: usize,
    /// How far the highest and the lowest of those that agreed are apart, in
    /// parts per million of the result.
    pub spread_ppm: u64,
}

/// Why measurements say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// There is none.
    Empty,
    /// There are more than [`MAX_MEASUREMENTS`].
    TooMany,
    /// No more than half are within the tolerance of the median.
    Disagree {
        /// How many are.
        agreed: usize,
        /// Of how many.
        of: usize,
    },
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("no measurement of the frequency succeeded"),
            Self::TooMany => write!(f, "more than {MAX_MEASUREMENTS} measurements"),
            Self::Disagree { agreed, of } => {
                write!(
                    f,
                    "only {agreed} of {of} measurements of the frequency agree"
                )
            }
        }
    }
}

impl core::error::Error for Unusable {}

/// Takes the median of the measurements, throws away those further from it than
/// `tolerance_ppm` parts per million, and gives the median of the rest.
///
/// # Errors
///
/// [`Unusable`].
pub fn choose(measurements: &[u64], tolerance_ppm: u64) -> Result<Chosen, Unusable> {
    if measurements.is_empty() {
        return Err(Unusable::Empty);
    }
    let mut sorted = ArrayVec::<u64, MAX_MEASUREMENTS>::new();
    sorted
        .try_extend_from_slice(measurements)
        .map_err(|_| Unusable::TooMany)?;
    sorted.sort_unstable();
    let median = sorted[sorted.len() / 2];
    let within = u128::from(median) * u128::from(tolerance_ppm);
    sorted.retain(|&mut hz| u128::from(hz.abs_diff(median)) * 1_000_000 <= within);
    let (agreed, of) = (sorted.len(), measurements.len());
    if agreed * 2 <= of {
        return Err(Unusable::Disagree { agreed, of });
    }
    let hz = sorted[agreed / 2];
    let spread = u128::from(sorted[agreed - 1] - sorted[0]) * 1_000_000;
    Ok(Chosen {
        hz,
        agreed,
        rejected: of - agreed,
        spread_ppm: u64::try_from(spread / u128::from(hz.max(1))).unwrap_or(u64::MAX),
    })
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
