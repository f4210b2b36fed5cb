//! The account of sent and received interrupts.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;
use serde::Serialize;

use tocsin::sync::IrqMutex;
use tocsin::time;

/// A kind of interrupt in the storm test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// IPIs to the vector of a line.
    LineIpi,
    /// Synchronous calls.
    Call,
    /// Asynchronous calls.
    AsyncCall,
    /// Calls to all other CPUs at once.
    BroadcastCall,
    /// Deferred work.
    DeferredWork,
    /// Timers.
    Timer,
    /// IPIs to lines that are created and dropped.
    ShortLivedLine,
    /// NMIs that request a backtrace of a CPU.
    Nmi,
    /// Messages by MSI.
    Msi,
    /// Messages by MSI-X.
    MsiX,
    /// A level-triggered pin.
    LevelPin,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
        Self::LineIpi,
        Self::Call,
        Self::AsyncCall,
        Self::BroadcastCall,
        Self::DeferredWork,
        Self::Timer,
        Self::ShortLivedLine,
        Self::Nmi,
        Self::Msi,
        Self::MsiX,
        Self::LevelPin,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LineIpi => "IPI to a line",
            Self::Call => "synchronous call",
            Self::AsyncCall => "asynchronous call",
            Self::BroadcastCall => "call to all others",
            Self::DeferredWork => "deferred work",
            Self::Timer => "timer",
            Self::ShortLivedLine => "short-lived line",
            Self::Nmi => "NMI",
            Self::Msi => "MSI",
            Self::MsiX => "MSI-X",
            Self::LevelPin => "level-triggered pin",
        })
    }
}

/// The totals of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// The number of interrupts sent.
    pub sent: u64,
    /// The number of interrupts received.
    pub received: u64,
}

impl Sums {
    /// Returns whether no interrupt was lost or duplicated.
    ///
    /// Context: any.
    #[must_use]
    pub fn is_balanced(self) -> bool {
        self.sent == self.received
    }
}

/// The counters of one kind. All CPUs write them, because the storm test does not measure
/// performance.
#[derive(Debug)]
pub struct Account {
    sent: CachePadded<AtomicU64>,
    received: CachePadded<AtomicU64>,
}

static ACCOUNTS: [Account; Kind::ALL.len()] = [const {
    Account {
        sent: CachePadded::new(AtomicU64::new(0)),
        received: CachePadded::new(AtomicU64::new(0)),
    }
}; Kind::ALL.len()];

static MOVED: AtomicU64 = AtomicU64::new(0);
static MOVING: AtomicU64 = AtomicU64::new(0);
static ERRORS: IrqMutex<Vec<String>> = IrqMutex::new(Vec::new());

/// The maximum number of errors stored.
const MAX_ERRORS: usize = 16;

pub(super) fn reset() {
    for account in &ACCOUNTS {
        account.sent.store(0, Ordering::Relaxed);
        account.received.store(0, Ordering::Relaxed);
    }
    MOVED.store(0, Ordering::Relaxed);
    MOVING.store(0, Ordering::Relaxed);
    ERRORS.lock().clear();
}

/// Counts `number` interrupts as sent. It must be called before they are sent.
pub(super) fn sent(kind: Kind, number: u64) {
    ACCOUNTS[kind as usize]
        .sent
        .fetch_add(number, Ordering::Relaxed);
}

/// Corrects the account if an interrupt could not be sent.
pub(super) fn not_sent(kind: Kind) {
    ACCOUNTS[kind as usize].sent.fetch_sub(1, Ordering::Relaxed);
}

pub(super) fn received(kind: Kind, number: u64) {
    ACCOUNTS[kind as usize]
        .received
        .fetch_add(number, Ordering::Relaxed);
}

pub(super) fn sent_and_received(kind: Kind) {
    sent(kind, 1);
    received(kind, 1);
}

/// Counts an attempt to move a line: `done` is false if another CPU is moving the line.
pub(super) fn moved(done: bool) {
    let counter = if done { &MOVED } else { &MOVING };
    counter.fetch_add(1, Ordering::Relaxed);
}

pub(super) fn moves() -> (u64, u64) {
    (
        MOVED.load(Ordering::Relaxed),
        MOVING.load(Ordering::Relaxed),
    )
}

/// Records an error that the totals do not show.
pub(super) fn error(text: impl Into<String>) {
    let text = text.into();
    let mut errors = ERRORS.lock();
    if errors.len() < MAX_ERRORS {
        errors.push(text);
    }
}

pub(super) fn take_errors() -> Vec<String> {
    core::mem::take(&mut ERRORS.lock())
}

pub(super) fn sums() -> Vec<(Kind, Sums)> {
    let sums = |kind: Kind| {
        // The received interrupts are read first: if the number sent is then the same, none was in
        // transit.
        let received = ACCOUNTS[kind as usize].received.load(Ordering::Acquire);
        Sums {
            sent: ACCOUNTS[kind as usize].sent.load(Ordering::Relaxed),
            received,
        }
    };
    Kind::ALL.map(|kind| (kind, sums(kind))).to_vec()
}

/// Waits until everything that was sent has arrived. Returns whether it has.
pub(super) fn wait_until_balanced(timeout: u64) -> bool {
    time::wait_until(timeout, || {
        sums().iter().all(|(_, sums)| sums.is_balanced())
    })
}
