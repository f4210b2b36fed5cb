//! The local APIC timer's counts (SDM vol. 3A, 12.5.4, figure 12-10).

use core::fmt;

/// By how much the timer's input clock is divided before it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Divide {
    /// Not at all.
    By1,
    /// By 2.
    By2,
    /// By 4.
    By4,
    /// By 8.
    By8,
    /// By 16.
    By16,
    /// By 32.
    By32,
    /// By 64.
    By64,
    /// By 128.
    By128,
}

impl Divide {
    /// All of them, the smallest first.
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

    /// The divisor.
    #[must_use]
    pub const fn divisor(self) -> u32 {
        1 << self as u32
    }

    /// The value of the divide configuration register. Bits 3, 1 and 0 are one
    /// number, in which 0 stands for 2 and 7 for 1.
    #[must_use]
    pub const fn encode(self) -> u32 {
        let number = (self as u32).wrapping_sub(1) & 7;
        (number & 4) << 1 | number & 3
    }

    /// Reads the divide configuration register; other bits are ignored.
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

/// A delay as the timer takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    /// The value of the divide configuration register.
    pub divide: Divide,
    /// The value of the initial count register; 0 would stop the timer.
    pub initial: u32,
}

/// The count for a delay of `nanoseconds`, rounded up to a whole count, with the
/// smallest divisor in which it fits; `hz` is the undivided input clock.
///
/// `None` if the clock is 0 or the delay is too long even divided by 128.
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

/// How many counts of the timer, undivided, a cycle of the time-stamp counter is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// With 32 bits behind the point, rounded up.
    counts_per_cycle: u64,
    /// The most cycles that can be counted, or a few less.
    longest: u64,
}

impl Rate {
    /// The rate of a timer of `timer_hz` against a time-stamp counter of `tsc_hz`. `None` if one of them
    /// is 0, or the timer is 2^32 times as fast or more.
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

    /// The initial count for a wait of `cycles`: not shorter, and at least 1, because 0 would stop the
    /// timer. A wait that does not fit is cut to the longest there is; whoever is woken looks
    /// at the time and waits for the rest.
    ///
    /// Few instructions, because their time is added to the wait.
    #[inline]
    #[must_use]
    pub fn count(self, cycles: u64) -> u32 {
        let counts = u128::from(cycles.min(self.longest)) * u128::from(self.counts_per_cycle);
        // Within 32 bits, as `longest` is chosen; rounded up.
        ((counts + u128::from(u32::MAX)) >> 32) as u32 | u32::from(counts == 0)
    }
}
