//! The count registers of the local APIC timer (SDM vol. 3A, 12.5.4, figure 12-10).

use core::fmt;

/// The divisor of the timer's input clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Divide {
    /// Divide by 1.
    By1,
    /// Divide by 2.
    By2,
    /// Divide by 4.
    By4,
    /// Divide by 8.
    By8,
    /// Divide by 16.
    By16,
    /// Divide by 32.
    By32,
    /// Divide by 64.
    By64,
    /// Divide by 128.
    By128,
}

impl Divide {
    /// All divisors, in ascending order.
    pub const ALL: [Self; 8] = [
        Self::By1,
        Self::By2,
        Self::By4,
        Self::By8,
        Self::By16,
        Self::By32,
        Self::By64,
        Self::By128,
    ];

    /// Returns the divisor as a number.
    #[must_use]
    pub const fn divisor(self) -> u32 {
        1 << self as u32
    }

    /// Encodes the divide configuration register. Bits 3, 1 and 0 form a number; 0 means divide by
    /// 2, 7 means divide by 1.
    #[must_use]
    pub const fn encode(self) -> u32 {
        let number = (self as u32).wrapping_sub(1) & 7;
        (number & 4) << 1 | number & 3
    }

    /// Decodes the divide configuration register; other bits are ignored.
    #[must_use]
    pub const fn decode(value: u32) -> Self {
        let number = (value >> 1 & 4) | value & 3;
        Self::ALL[((number + 1) & 7) as usize]
    }
}

impl fmt::Display for Divide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1/{}", self.divisor())
    }
}

/// The register values for a delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The divisor for the divide configuration register.
    pub divide: Divide,
    /// The value of the initial count register, at least 1; 0 would stop the timer.
    pub initial: u32,
}

/// Returns the count for a delay of `nanoseconds`, rounded up, with the smallest divisor for which
/// it fits; `hz` is the frequency of the undivided input clock.
///
/// Returns `None` if `hz` is 0 or the delay is too long even with a divisor of 128.
#[must_use]
pub fn count(hz: u64, nanoseconds: u64) -> Option<Count> {
    if hz == 0 {
        return None;
    }
    let ticks = (u128::from(hz) * u128::from(nanoseconds)).div_ceil(1_000_000_000);
    Divide::ALL.into_iter().find_map(|divide| {
        let initial = ticks.div_ceil(u128::from(divide.divisor())).max(1);
        Some(Count {
            divide,
            initial: u32::try_from(initial).ok()?,
        })
    })
}

/// The ratio of timer counts (undivided) to TSC cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Fixed point with 32 fraction bits, rounded up.
    counts_per_cycle: u64,
    /// The longest wait that fits, in TSC cycles; may be a few cycles too low.
    longest: u64,
}

impl Rate {
    /// The rate of a timer of `timer_hz` relative to a TSC of `tsc_hz`. Returns `None` if one of
    /// them is 0, or the timer is 2^32 times as fast as the TSC or faster.
    #[must_use]
    pub fn new(timer_hz: u64, tsc_hz: u64) -> Option<Self> {
        if timer_hz == 0 || tsc_hz == 0 {
            return None;
        }
        let scaled = (u128::from(timer_hz) << 32).div_ceil(u128::from(tsc_hz));
        let counts_per_cycle = u64::try_from(scaled).ok()?;
        let longest = (u128::from(u32::MAX) << 32) / scaled;
        Some(Self {
            counts_per_cycle,
            longest: u64::try_from(longest).unwrap_or(u64::MAX),
        })
    }

    /// Returns the initial count for a wait of `cycles`: never shorter, and at least 1, because 0
    /// would stop the timer. A wait that does not fit is reduced to the longest possible one; the
    /// timer's handler must compare the time and wait for the rest.
    ///
    /// Kept short, because its execution time adds to the wait.
    #[inline]
    #[must_use]
    pub fn count(self, cycles: u64) -> u32 {
        let counts = u128::from(cycles.min(self.longest)) * u128::from(self.counts_per_cycle);
        // Rounded up; fits into 32 bits because of the limit `longest`.
        ((counts + u128::from(u32::MAX)) >> 32) as u32 | u32::from(counts == 0)
    }
}
