//! When a line has gone mad, and when it is trusted again.
//!
//! A level-triggered line that nobody answers interrupts again at once and for ever; a
//! broken device may do so with messages. Such a line is masked. Since the cause
//! may be gone later, it is unmasked on trial after a pause, and each further storm
//! doubles the pause. If a trial lasts long enough, all is forgotten.
//!
//! ```text
//! watched --storm--> masked --pause over--> on trial --calm--> watched
//!                      ^                       |
//!                      +---storm, pause x 2----+
//! ```
//!
//! The [`Detector`] counts nothing itself: it is shown the line's counters every so many
//! interrupts and compares. What it says is the kernel's to do. Its times are
//! nanoseconds of any clock that does not go back.

use crate::units::Nanoseconds;
use core::fmt;

/// What makes a storm, and how it is waited out. All times in nanoseconds, above 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The time over which interrupts are counted.
    pub window: u64,
    /// So many unclaimed interrupts in a window are a storm, if nine in ten are
    /// unclaimed.
    pub unclaimed: u64,
    /// So many interrupts in a window are a storm, claimed or not.
    pub total: u64,
    /// The first pause.
    pub first_pause: u64,
    /// The longest pause.
    pub longest_pause: u64,
    /// How long a trial lasts.
    pub calm: u64,
}

impl Policy {
    /// 100 ms; 1000 unclaimed, or 50000 in all (half a million a second); pauses from 100 ms to 60 s;
    /// trials of 5 s.
    pub const DEFAULT: Self = Self {
        window: 100_000_000,
        unclaimed: 1000,
        total: 50_000,
        first_pause: 100_000_000,
        longest_pause: 60_000_000_000,
        calm: 5_000_000_000,
    };
}

impl Default for Policy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a line has had since it was made. The counters may wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Interrupts that a handler found to be its device's.
    pub claimed: u64,
    /// Interrupts that no handler did.
    pub unclaimed: u64,
}

/// What kind of storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nobody claims the interrupts.
    Unclaimed,
    /// There are too many.
    TooMany,
}

/// A storm: what was seen, and how long the line is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// What kind.
    pub cause: Cause,
    /// The interrupts that were seen.
    pub seen: Counts,
    /// In how many nanoseconds.
    pub within: u64,
    /// Nanoseconds until the next trial.
    pub pause: u64,
    /// How many storms there have been since the line was last calm, this one
    /// included.
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

/// What has come with time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Unmask the line: its trial begins.
    Retry,
    /// The trial was passed: the line is as if nothing had been.
    Calm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Watched,
    Masked { until: u64 },
    Trial { until: u64 },
}

/// The watch over one line. For one CPU at a time.
#[derive(Clone, Debug)]
pub struct Detector {
    policy: Policy,
    state: State,
    /// When the window began, and what the counters were.
    window: Option<(u64, Counts)>,
    /// Storms since the line was calm.
    storms: u32,
    pause: u64,
}

impl Detector {
    /// The watch over a line that has just been made.
    #[must_use]
    pub const fn new(policy: Policy) -> Self {
        Self {
            policy,
            state: State::Watched,
            window: None,
            storms: 0,
            pause: 0,
        }
    }

    /// Looks at the line's counters. If it returns a storm, mask the line now, and call
    /// [`poll`](Self::poll) when [`next_event`](Self::next_event) says.
    ///
    /// To be called at every n-th interrupt of the line, n well below the policy's
    /// numbers, so that a storm that lets nothing else run is seen. Between calls a
    /// longer time than the window may have passed: then the average counts. While
    /// the line is masked, late interrupts are no storm.
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
        let Some(cause) = self.policy.judge(seen, within) else {
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

    /// What has come with time, if anything.
    #[must_use = "the line stays masked until it is unmasked"]
    pub fn poll(&mut self, now: u64) -> Option<Change> {
        match self.state {
            State::Masked { until } if now >= until => {
                self.state = State::Trial {
                    until: now.saturating_add(self.policy.calm),
                };
                Some(Change::Retry)
            }
            State::Trial { until } if now >= until => {
                self.state = State::Watched;
                self.storms = 0;
                Some(Change::Calm)
            }
            _ => None,
        }
    }

    /// When [`poll`](Self::poll) has something to say next; `None` if never, unless a
    /// storm comes.
    #[must_use]
    pub const fn next_event(&self) -> Option<u64> {
        match self.state {
            State::Watched => None,
            State::Masked { until } | State::Trial { until } => Some(until),
        }
    }

    /// Whether the line is to be masked.
    #[must_use]
    pub const fn is_masked(&self) -> bool {
        matches!(self.state, State::Masked { .. })
    }
}

impl Policy {
    /// Whether so many interrupts in so many nanoseconds are a storm.
    fn judge(&self, seen: Counts, within: u64) -> Option<Cause> {
        let Counts { claimed, unclaimed } = seen;
        let total = claimed.saturating_add(unclaimed);
        // Less than a window counts as a whole one: a storm is not waited for.
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
