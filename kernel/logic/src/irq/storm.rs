//! Interrupt storm detection and recovery.
//!
//! A level-triggered line without a handler for its device interrupts again immediately and without
//! end; a broken device may do so with messages. Such a line is masked. Since the cause may
//! disappear, the line is unmasked on probation after a pause, and each further storm doubles the
//! pause. If no storm occurs during the probation, its history is cleared.
//!
//! ```text
//! normal --storm--> masked --pause over--> probation --no storm--> normal
//!                     ^                       |
//!                     +---storm, pause x 2----+
//! ```
//!
//! The [`Detector`] does not count: the kernel passes it the line's counters every n interrupts,
//! and it compares them. The kernel performs the actions that it returns. Times are in nanoseconds
//! of any monotonic clock.

use crate::units::Nanoseconds;
use core::fmt;

/// The thresholds of a storm and the times of recovery. All times in nanoseconds, above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The time over which interrupts are counted.
    pub window: u64,
    /// The number of unclaimed interrupts in a window that is a storm, if nine in ten are
    /// unclaimed.
    pub unclaimed: u64,
    /// The number of interrupts in a window that is a storm, claimed or not.
    pub total: u64,
    /// The first pause.
    pub first_pause: u64,
    /// The longest pause.
    pub longest_pause: u64,
    /// The duration of the probation.
    pub probation: u64,
}

impl Policy {
    /// 100 ms; 1000 unclaimed, or 50000 in all (half a million per second); pauses from 100 ms to
    /// 60 s; probation of 5 s.
    pub const DEFAULT: Self = Self {
        window: 100_000_000,
        unclaimed: 1000,
        total: 50_000,
        first_pause: 100_000_000,
        longest_pause: 60_000_000_000,
        probation: 5_000_000_000,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The interrupts of a line since its creation. The counters may wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Interrupts that a handler claimed for its device.
    pub claimed: u64,
    /// Interrupts that no handler claimed.
    pub unclaimed: u64,
}

/// The kind of a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No handler claims the interrupts.
    Unclaimed,
    /// The rate is too high.
    TooMany,
}

/// A storm: the interrupts counted, and the time for which the line is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// The kind.
    pub cause: Cause,
    /// The interrupts counted.
    pub seen: Counts,
    /// The time in which they were counted, in nanoseconds.
    pub within: u64,
    /// Nanoseconds until the next probation.
    pub pause: u64,
    /// Number of storms since the last recovery, including this one.
    pub number: u32,
}

impl fmt::Display for Storm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.seen.claimed.saturating_add(self.seen.unclaimed);
        write!(f, "{total} interrupts in {}", Nanoseconds(self.within))?;
        if self.cause == Cause::Unclaimed {
            write!(f, ", {} of them unclaimed", self.seen.unclaimed)?;
        }
        write!(f, "; masked for {}", Nanoseconds(self.pause))?;
        match self.number {
            1 => Ok(()),
            number => write!(f, ", storm {number} in a row"),
        }
    }
}

/// A change of state that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Unmask the line: its probation begins.
    Unmask,
    /// The probation has passed without a storm: the history is cleared.
    Recovered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Normal,
    Masked { until: u64 },
    Probation { until: u64 },
}

/// The storm detector of one line. For one CPU at a time.
#[derive(Clone, Debug)]
pub struct Detector {
    policy: Policy,
    state: State,
    /// The start of the window, and the counters at that time.
    window: Option<(u64, Counts)>,
    /// Number of storms since the last recovery.
    storms: u32,
    pause: u64,
}

impl Detector {
    /// The detector of a new line.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Normal,
            window: None,
            storms: 0,
            pause: 0,
        }
    }

    /// Evaluates the line's counters. If it returns a storm, the caller must mask the line at once,
    /// and call [`poll`](Self::poll) at the time of [`next_event`](Self::next_event).
    ///
    /// Must be called at every n-th interrupt of the line, with n well below the numbers of the
    /// policy, so that a storm that prevents all other code from running is detected. If more time
    /// than the window has passed between calls, the average counts. While the line is masked, late
    /// interrupts are no storm.
    #[must_use = "a storm goes on until the line is masked"]
    pub fn observe(&mut self, now: u64, counts: Counts) -> Option<Storm> {
        if matches!(self.state, State::Masked { .. }) {
            return None;
        }
        let Some((begin, before)) = self.window else {
            self.window = Some((now, counts));
            return None;
        };
        let within = now.saturating_sub(begin);
        let seen = Counts {
            claimed: counts.claimed.wrapping_sub(before.claimed),
            unclaimed: counts.unclaimed.wrapping_sub(before.unclaimed),
        };
        let Some(cause) = self.policy.evaluate(seen, within) else {
            if within >= self.policy.window {
                self.window = Some((now, counts));
            }
            return None;
        };
        let longest = self.policy.longest_pause;
        self.pause = match self.storms {
            0 => self.policy.first_pause.min(longest),
            _ => self.pause.saturating_mul(2).min(longest),
        };
        self.storms = self.storms.saturating_add(1);
        self.state = State::Masked {
            until: now.saturating_add(self.pause),
        };
        self.window = None;
        Some(Storm {
            cause,
            seen,
            within,
            pause: self.pause,
            number: self.storms,
        })
    }

    /// Returns the change of state that is due at `now`, if any.
    #[must_use = "the line stays masked until it is unmasked"]
    pub fn poll(&mut self, now: u64) -> Option<Change> {
        match self.state {
            State::Masked { until } if now >= until => {
                self.state = State::Probation {
                    until: now.saturating_add(self.policy.probation),
                };
                Some(Change::Unmask)
            }
            State::Probation { until } if now >= until => {
                self.state = State::Normal;
                self.storms = 0;
                Some(Change::Recovered)
            }
            _ => None,
        }
    }

    /// The time at which [`poll`](Self::poll) must be called next; `None` if no change is due
    /// before the next storm.
    #[must_use]
    pub const fn next_event(&self) -> Option<u64> {
        match self.state {
            State::Normal => None,
            State::Masked { until } | State::Probation { until } => Some(until),
        }
    }

    /// Whether the line must be masked.
    #[must_use]
    pub const fn is_masked(&self) -> bool {
        matches!(self.state, State::Masked { .. })
    }
}

impl Policy {
    /// Whether `seen` interrupts in `within` nanoseconds are a storm.
    fn evaluate(&self, seen: Counts, within: u64) -> Option<Cause> {
        let Counts { claimed, unclaimed } = seen;
        let total = claimed.saturating_add(unclaimed);
        // Less than a window counts as a whole one, so that a storm is detected before the window
        // ends.
        let within = within.max(self.window);
        let reaches = |count: u64, limit: u64| {
            u128::from(count) * u128::from(self.window) >= u128::from(limit) * u128::from(within)
        };
        let mostly_unclaimed = u128::from(unclaimed) * 10 >= u128::from(total) * 9;
        if reaches(unclaimed, self.unclaimed) && mostly_unclaimed {
            Some(Cause::Unclaimed)
        } else if reaches(total, self.total) {
            Some(Cause::TooMany)
        } else {
            None
        }
    }
}
