//! The cause of an NMI.
//!
//! An NMI carries neither a vector nor a sender. So a sender first records the cause in
//! [`Requests`] of the receiver, and the receiver takes all recorded causes at once. A processor
//! holds one pending NMI behind an active one and loses further ones (SDM vol. 3A, 7.7.1); their
//! causes are not lost, because they are recorded here.
//!
//! Conversely, an earlier NMI may already have taken the cause of a later one. Such an NMI is
//! distinguished from one that the kernel did not send by counting: each request may cause one NMI.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The cause of a requested NMI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A CPU requests a backtrace.
    Backtrace,
    /// The watchdog requests a backtrace, because the CPU has stopped taking interrupts.
    Watchdog,
    /// Panic stop: another CPU reports that the kernel has stopped.
    Stop,
    /// A function must be called.
    Call,
}

impl Cause {
    /// All causes, in the order of their bits.
    pub const ALL: [Self; 4] = [Self::Backtrace, Self::Watchdog, Self::Stop, Self::Call];

    /// The name for tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Backtrace => "backtrace",
            Self::Watchdog => "watchdog",
            Self::Stop => "stop",
            Self::Call => "call",
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// A set of causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Causes(u32);

impl Causes {
    /// Whether the set contains `cause`.
    #[must_use]
    pub const fn contains(self, cause: Cause) -> bool {
        self.0 & cause.bit() != 0
    }
}

/// The classification of an NMI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Requested for these causes: at least one.
    Requested(Causes),
    /// Requested, but an earlier NMI took its causes.
    Late,
    /// Not requested by the kernel: the machine is the source.
    Unknown,
}

/// Time after a request during which its NMI may still arrive late, in nanoseconds. After it, an
/// NMI without a cause is unknown again: most of the NMIs that never arrived were merged with
/// another one.
pub const LATE_LIMIT: u64 = 1_000_000_000;

/// Number of unknown NMIs of a CPU that are all reported.
pub const BURST: u64 = 10;

/// The minimum time between two reports of unknown NMIs after that, in nanoseconds.
pub const REPORT_INTERVAL: u64 = 10_000_000_000;

/// Whether to report an unknown NMI: number `unknown` of this CPU, counted from 1, at time `now`,
/// after a report that ended at time `last`. A report takes longer than the source takes to repeat,
/// so without a limit the CPU would do nothing else.
#[must_use]
pub const fn is_reported(unknown: u64, now: u64, last: u64) -> bool {
    unknown <= BURST || now.saturating_sub(last) >= REPORT_INTERVAL
}

/// The pending NMI requests of one CPU.
#[derive(Debug, Default)]
pub struct Requests {
    /// The pending causes, as bits.
    pending: AtomicU32,
    /// Number of requests. May wrap.
    requested: AtomicU32,
    /// Number of requests that the owner has seen. Only the owner accesses it.
    seen: AtomicU32,
    /// Number of NMIs that may still arrive without a cause, and since when. Only the owner
    /// accesses it.
    late: AtomicU32,
    since: AtomicU64,
}

impl Requests {
    /// No request is pending.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            pending: AtomicU32::new(0),
            requested: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            late: AtomicU32::new(0),
            since: AtomicU64::new(0),
        }
    }

    /// Requests an NMI for `cause`. The caller must then send one NMI for each call. Any CPU, any
    /// context.
    pub fn request(&self, cause: Cause) {
        // In this order: a CPU that sees the count also sees the cause.
        self.pending.fetch_or(cause.bit(), Ordering::Release);
        self.requested.fetch_add(1, Ordering::Release);
    }

    /// Takes all pending causes, and classifies the NMI that arrived at `now` (nanoseconds of a
    /// monotonic clock). Only for the owner, once for each run of its NMI handler.
    pub fn take(&self, now: u64) -> Kind {
        let requested = self.requested.load(Ordering::Acquire);
        let causes = Causes(self.pending.swap(0, Ordering::Acquire));
        let new = requested.wrapping_sub(self.seen.load(Ordering::Relaxed));
        self.seen.store(requested, Ordering::Relaxed);

        let mut late = self.late.load(Ordering::Relaxed);
        if now.saturating_sub(self.since.load(Ordering::Relaxed)) > LATE_LIMIT {
            late = 0;
        }
        let sort = match (causes, new) {
            (Causes(0), 0) if late == 0 => Kind::Unknown,
            (Causes(0), 0) => {
                late -= 1;
                Kind::Late
            }
            (Causes(0), _) => Kind::Late,
            _ => Kind::Requested(causes),
        };
        if new > 0 {
            // This NMI belongs to one request; those of the others may follow, or have been merged
            // with it.
            late = late.saturating_add(new - 1);
            self.since.store(now, Ordering::Relaxed);
        }
        self.late.store(late, Ordering::Relaxed);
        sort
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(causes: &[Cause]) -> Kind {
        Kind::Requested(Causes(
            causes.iter().fold(0, |all, cause| all | cause.bit()),
        ))
    }

    #[test]
    fn unknown_nmis_are_rate_limited() {
        let last = 5 * REPORT_INTERVAL;
        let reported = |unknown, later| is_reported(unknown, last + later, last);
        assert!(reported(1, 0) && reported(BURST, 1));
        assert!(!reported(BURST + 1, 0) && !reported(BURST + 1, REPORT_INTERVAL - 1));
        assert!(reported(BURST + 1, REPORT_INTERVAL) && reported(u64::MAX, REPORT_INTERVAL));
        // The clock went backwards.
        assert!(!is_reported(BURST + 1, 0, last));
    }

    #[test]
    fn an_nmi_without_a_request_is_unknown() {
        let requests = Requests::new();
        assert_eq!(requests.take(5), Kind::Unknown);
        requests.request(Cause::Stop);
        assert_eq!(requests.take(6), requested(&[Cause::Stop]));
        assert_eq!(requests.take(7), Kind::Unknown);
    }

    #[test]
    fn each_cause_is_taken_separately() {
        for cause in Cause::ALL {
            let requests = Requests::new();
            requests.request(cause);
            let Kind::Requested(causes) = requests.take(0) else {
                panic!("{cause:?} was not seen");
            };
            for other in Cause::ALL {
                assert_eq!(causes.contains(other), other == cause);
            }
        }
    }

    #[test]
    fn two_requests_may_cause_one_or_two_nmis() {
        let requests = Requests::new();
        requests.request(Cause::Call);
        requests.request(Cause::Backtrace);
        let both = requested(&[Cause::Call, Cause::Backtrace]);
        assert_eq!(requests.take(0), both);
        assert_eq!(requests.take(0), Kind::Late);
        assert_eq!(requests.take(0), Kind::Unknown);
    }

    #[test]
    fn a_merged_nmi_expires() {
        let requests = Requests::new();
        requests.request(Cause::Call);
        requests.request(Cause::Call);
        assert_eq!(requests.take(10), requested(&[Cause::Call]));
        assert_eq!(requests.take(11 + LATE_LIMIT), Kind::Unknown);
        assert_eq!(requests.take(12), Kind::Unknown);
    }

    #[test]
    fn a_cause_may_be_seen_before_its_request_is_counted() {
        // The two halves of `request`, with the owner between them.
        let requests = Requests::new();
        requests
            .pending
            .fetch_or(Cause::Call.bit(), Ordering::Relaxed);
        assert_eq!(requests.take(0), requested(&[Cause::Call]));
        requests.requested.fetch_add(1, Ordering::Relaxed);
        assert_eq!(requests.take(0), Kind::Late);
        assert_eq!(requests.take(0), Kind::Unknown);
    }

    /// In every order of requests and NMIs, with a processor that keeps at most one pending: every
    /// requested cause is taken, and no NMI is unknown.
    #[test]
    fn no_request_is_lost_and_none_is_unknown() {
        for order in 0u32..1 << 12 {
            let requests = Requests::new();
            let (mut pending, mut taken, mut made) = (false, 0, 0);
            for step in 0..12u32 {
                if order >> step & 1 == 0 {
                    requests.request(Cause::ALL[made % 4]);
                    made += 1;
                    pending = true;
                } else if core::mem::take(&mut pending) {
                    match requests.take(step.into()) {
                        Kind::Requested(causes) => taken |= causes.0,
                        Kind::Late => {}
                        Kind::Unknown => panic!("order {order:#b}"),
                    }
                }
            }
            if pending && let Kind::Requested(causes) = requests.take(12) {
                taken |= causes.0;
            }
            assert_eq!(taken, (1 << made.min(4)) - 1, "order {order:#b}");
        }
    }
}
