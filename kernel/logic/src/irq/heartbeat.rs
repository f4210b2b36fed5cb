//! Lockup detection: CPUs that have stopped taking interrupts, and CPUs that have stopped running
//! lower classes or their thread.
//!
//! A hard lockup is a CPU that does not take interrupts of the highest class. Other CPUs detect it
//! by the time since its last heartbeat. A soft lockup is a CPU that takes these interrupts, but is
//! stuck in a lower class: its heartbeats count how long deferred work, which has the lowest class,
//! and its thread have not run. The unit is heartbeats and not time, because a virtual CPU that the
//! host does not run has no heartbeats either.
//!
//! The CPUs form a ring, and each watches the next one. A stuck CPU watches no other CPU, so its
//! watcher checks all consecutive stuck CPUs and the first CPU after them that is not stuck. Thus
//! every stuck CPU has a watcher as long as one CPU still runs.

/// The heartbeat state of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Time of the last heartbeat, in nanoseconds; 0 if the CPU is not watched.
    pub last: u64,
    /// Whether the lockup has been reported.
    pub is_reported: bool,
}

impl Heartbeat {
    /// The time without a heartbeat, if it is `limit` or longer.
    #[must_use]
    pub fn overdue(&self, now: u64, limit: u64) -> Option<u64> {
        // The clocks of two CPUs may differ a little.
        let overdue = now.saturating_sub(self.last);
        (self.last != 0 && overdue >= limit).then_some(overdue)
    }
}

/// The CPUs that must be reported now, among those after the watcher in ring order: their indices,
/// and the time for which each has had no heartbeat.
pub fn new_lockups(
    ring: impl IntoIterator<Item = Heartbeat>,
    now: u64,
    limit: u64,
) -> impl Iterator<Item = (usize, u64)> {
    ring.into_iter()
        .enumerate()
        .map(move |(index, heartbeat)| (index, heartbeat, heartbeat.overdue(now, limit)))
        .take_while(|(_, heartbeat, overdue)| overdue.is_some() || heartbeat.last == 0)
        .filter(|(_, heartbeat, _)| !heartbeat.is_reported)
        .filter_map(|(index, _, overdue)| Some((index, overdue?)))
}

/// What a CPU that still has heartbeats does not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SoftLockup {
    /// Deferred work: a handler of a higher class does not return, or the priority remains raised.
    Handlers,
    /// The thread: handlers run without interruption.
    Thread,
}

/// Heartbeats of a CPU since it last ran deferred work and its thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatCounts {
    /// Heartbeats since deferred work ran.
    pub handlers: u32,
    /// Heartbeats since one of them interrupted the thread.
    pub thread: u32,
}

impl HeartbeatCounts {
    /// The level that does not run, if one of the counts has reached its limit. Handlers take
    /// precedence: if they are stuck, they are also the reason why the thread does not run.
    #[must_use]
    pub fn stuck(self, limits: Self) -> Option<SoftLockup> {
        if self.handlers >= limits.handlers {
            Some(SoftLockup::Handlers)
        } else if self.thread >= limits.thread {
            Some(SoftLockup::Thread)
        } else {
            None
        }
    }
}

/// The CPU that the watcher checks for soft lockups: the first one after it, in ring order, that
/// has heartbeats.
pub fn first_alive(
    ring: impl IntoIterator<Item = Heartbeat>,
    now: u64,
    limit: u64,
) -> Option<usize> {
    ring.into_iter()
        .position(|heartbeat| heartbeat.last != 0 && heartbeat.overdue(now, limit).is_none())
}

#[cfg(test)]
mod tests {
    use super::{Heartbeat, HeartbeatCounts, SoftLockup, first_alive, new_lockups};
    use std::vec::Vec;

    const LIMIT: u64 = 100;
    const NOW: u64 = 1000;

    fn stuck(ring: &[(u64, bool)]) -> Vec<(usize, u64)> {
        let heartbeats = ring
            .iter()
            .map(|&(last, is_reported)| Heartbeat { last, is_reported });
        new_lockups(heartbeats, NOW, LIMIT).collect()
    }

    #[test]
    fn a_cpu_with_heartbeats_ends_the_search() {
        assert_eq!(stuck(&[]), []);
        assert_eq!(stuck(&[(901, false), (1, false)]), []);
        assert_eq!(stuck(&[(900, false)]), [(0, 100)]);
        // The clock of the other CPU is ahead.
        assert_eq!(stuck(&[(1001, false), (1, false)]), []);
    }

    #[test]
    fn consecutive_stuck_cpus_are_found_together() {
        assert_eq!(
            stuck(&[(1, false), (2, false), (950, false)]),
            [(0, 999), (1, 998)]
        );
        assert_eq!(stuck(&[(1, false), (950, false), (2, false)]), [(0, 999)]);
    }

    #[test]
    fn consecutive_lockups_at_different_times() {
        assert_eq!(stuck(&[(1, true), (2, false), (950, false)]), [(1, 998)]);
        assert_eq!(stuck(&[(1, true), (2, true), (3, false)]), [(2, 997)]);
        assert_eq!(stuck(&[(1, true), (2, true)]), []);
    }

    #[test]
    fn a_recovered_cpu_watches_again() {
        assert_eq!(stuck(&[(990, true), (2, false)]), []);
    }

    #[test]
    fn an_unwatched_cpu_is_skipped() {
        assert_eq!(stuck(&[(0, false), (2, false), (0, false)]), [(1, 998)]);
    }

    #[test]
    fn lower_levels_have_their_own_limits() {
        let limits = HeartbeatCounts {
            handlers: 20,
            thread: 40,
        };
        let stuck = |handlers, thread| HeartbeatCounts { handlers, thread }.stuck(limits);
        assert_eq!(stuck(19, 39), None);
        assert_eq!(stuck(20, 20), Some(SoftLockup::Handlers));
        assert_eq!(stuck(0, 40), Some(SoftLockup::Thread));
        assert_eq!(stuck(40, 40), Some(SoftLockup::Handlers), "its cause");
    }

    #[test]
    fn soft_lockups_are_checked_on_the_first_cpu_with_heartbeats() {
        let alive = |ring: &[u64]| {
            let heartbeats = ring.iter().map(|&last| Heartbeat {
                last,
                is_reported: false,
            });
            first_alive(heartbeats, NOW, LIMIT)
        };
        assert_eq!(alive(&[]), None);
        assert_eq!(alive(&[950, 960]), Some(0));
        assert_eq!(alive(&[1, 0, 960]), Some(2));
    }
}
