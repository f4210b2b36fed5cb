//! The offset between the time-stamp counters of two CPUs, measured by messages between them.
//!
//! The boot CPU reads its counter and sends a request, the AP replies with the value of its own
//! counter, and the boot CPU reads its counter again. The reply was taken between the two readings,
//! regardless of the latency of the messages, so the offset is in an interval as wide as the round
//! trip. Each further round narrows the interval. Unlike a comparison of which counter is later,
//! this never reports an offset that does not exist.

use core::fmt;

/// The offset of an AP's counter from the boot CPU's, in TSC cycles: from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    low: i64,
    high: i64,
}

impl Offset {
    /// No measurement.
    pub const UNKNOWN: Self = Self {
        low: i64::MIN,
        high: i64::MAX,
    };

    /// The offset after one more round: the boot CPU's counter was `sent` before the AP's was
    /// `replied`, and `received` after that.
    ///
    /// A round that contradicts the earlier ones means that a counter does not run steadily. The
    /// offset then covers both.
    #[must_use]
    pub fn narrowed(self, sent: u64, replied: u64, received: u64) -> Self {
        let round = Self {
            low: difference(replied, received),
            high: difference(replied, sent),
        };
        let common = Self {
            low: self.low.max(round.low),
            high: self.high.min(round.high),
        };
        if common.low <= common.high {
            common
        } else {
            Self {
                low: self.low.min(round.low),
                high: self.high.max(round.high),
            }
        }
    }

    /// The uncertainty of the measurement, in cycles.
    #[must_use]
    pub const fn width(self) -> u64 {
        self.high.abs_diff(self.low)
    }

    /// The largest possible difference of the two counters, in cycles.
    #[must_use]
    pub const fn bound(self) -> u64 {
        let (low, high) = (self.low.unsigned_abs(), self.high.unsigned_abs());
        if low > high { low } else { high }
    }

    /// The smallest possible difference, in cycles; 0 if the counters may agree.
    #[must_use]
    pub const fn least(self) -> u64 {
        if self.low > 0 {
            self.low.unsigned_abs()
        } else if self.high < 0 {
            self.high.unsigned_abs()
        } else {
            0
        }
    }

    /// Whether the AP's counter is ahead, if the counters certainly differ.
    #[must_use]
    pub const fn is_ahead(self) -> bool {
        self.low > 0
    }

    /// The number to add to the AP's counter to bring it closest to the boot CPU's; `None` if they
    /// may agree.
    #[must_use]
    pub const fn correction(self) -> Option<i64> {
        if self.least() == 0 {
            return None;
        }
        // The two have the same sign, so that neither operation overflows.
        Some((self.low + (self.high - self.low) / 2).wrapping_neg())
    }
}

/// `a - b`, saturated to a signed 64-bit value.
fn difference(a: u64, b: u64) -> i64 {
    let magnitude = i64::try_from(a.abs_diff(b)).unwrap_or(i64::MAX);
    if a < b { -magnitude } else { magnitude }
}

/// The result of the correction of an AP's counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The counter agreed and was not changed.
    Agreed,
    /// The counter differed by at least this number of cycles, and was corrected.
    Corrected(u64),
    /// The counter differs and was not changed: `IA32_TSC_ADJUST` is absent, or a correction did
    /// not help.
    Differs,
}

/// The counter of an AP after its measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The offset after the correction.
    pub offset: Offset,
    /// The result of the correction.
    pub outcome: Outcome,
}

/// Maximum number of corrections of one counter: the second one removes the error due to the
/// uncertainty of the first.
const CORRECTIONS: u32 = 2;

/// Measures an AP's counter, and corrects it if it is wrong and the correction helps.
///
/// `measure` returns the offset, or `None` if the AP does not reply. `adjust` adds to the counter,
/// and returns whether that was possible. The result is `None` if the AP stopped replying.
pub fn synchronize(
    mut measure: impl FnMut() -> Option<Offset>,
    mut adjust: impl FnMut(i64) -> bool,
) -> Option<Synced> {
    let first = measure()?;
    let mut offset = first;
    for _ in 0..CORRECTIONS {
        let Some(correction) = offset.correction() else {
            break;
        };
        if !adjust(correction) {
            break;
        }
        let corrected = measure()?;
        if corrected.least() >= offset.least() {
            adjust(correction.wrapping_neg());
            break;
        }
        offset = corrected;
    }
    let outcome = if offset.least() > 0 {
        Outcome::Differs
    } else if first.least() > 0 {
        Outcome::Corrected(first.least())
    } else {
        Outcome::Agreed
    };
    Some(Synced { offset, outcome })
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {} cycles", self.low, self.high)
    }
}
