//! A limit on how often a repeated event is logged.

#[cfg(test)]
mod tests;

/// Allows a burst of reports, and then one per interval; counts what it suppresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    burst: u32,
    /// In nanoseconds.
    interval: u64,
    /// Number of reports still allowed in this interval.
    left: u32,
    /// Time at which the next interval begins, in nanoseconds.
    next: u64,
    suppressed: u64,
}

impl RateLimit {
    /// A limit of `burst` reports at first, and then one per `interval` nanoseconds.
    #[must_use]
    pub const fn new(burst: u32, interval: u64) -> Self {
        Self {
            burst,
            interval,
            left: burst,
            next: 0,
            suppressed: 0,
        }
    }

    /// Decides whether to report an event at time `now`, in nanoseconds. `None` if it is
    /// suppressed. Otherwise returns the number of events that were suppressed before it, and the
    /// caller must report the event and that number.
    pub fn allow(&mut self, now: u64) -> Option<u64> {
        if now >= self.next {
            // An interval without events restores the burst.
            let is_quiet = now - self.next >= self.interval && self.suppressed == 0;
            self.left = if is_quiet {
                self.burst
            } else {
                self.left.max(1)
            };
            self.next = now.saturating_add(self.interval);
        }
        if self.left == 0 {
            self.suppressed += 1;
            return None;
        }
        self.left -= 1;
        Some(core::mem::take(&mut self.suppressed))
    }
}
