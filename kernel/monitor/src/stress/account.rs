//! What was sent and what was received.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use tocsin::sync::IrqMutex;
use tocsin::time;

/// A kind of interrupt in the storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// IPIs to the vector of a line.
    Line,
    /// Calls that the caller waits for.
    WaitedCall,
    /// Calls that it does not.
    Call,
    /// Calls to all other CPUs at once.
    Broadcast,
    /// Work put off.
    Work,
    /// Timers.
    Timer,
    /// IPIs to lines that come and go.
    ShortLine,
    /// NMIs that ask what a CPU does.
    Nmi,
    /// Messages by MSI.
    Msi,
    /// Messages by MSI-X.
    Msix,
    /// A level-triggered pin.
    Level,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Line,
        Self::WaitedCall,
        Self::Call,
        Self::Broadcast,
        Self::Work,
        Self::Timer,
        Self::ShortLine,
        Self::Nmi,
        Self::Msi,
        Self::Msix,
        Self::Level,
    ];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Line => "IPI to a line",
            Self::WaitedCall => "call and wait",
            Self::Call => "call",
            Self::Broadcast => "call to all others",
            Self::Work => "work put off",
            Self::Timer => "timer",
            Self::ShortLine => "line that comes and goes",
            Self::Nmi => "NMI",
            Self::Msi => "MSI",
            Self::Msix => "MSI-X",
            Self::Level => "level-triggered pin",
        })
    }
}

/// What came of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sums {
    /// How many were sent.
    pub sent: u64,
    /// How many arrived.
    pub received: u64,
}

impl Sums {
    /// Whether nothing was lost or doubled.
    #[must_use]
    pub fn is_even(self) -> bool {
        self.sent == self.received
    }
}

/// Both ends of one kind. All CPUs write; the storm is no measurement.
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

/// Errors that are kept; more are not needed to know that something is wrong.
const MOST_ERRORS: usize = 16;

pub(super) fn reset() {
    for account in &ACCOUNTS {
        account.sent.store(0, Ordering::Relaxed);
        account.received.store(0, Ordering::Relaxed);
    }
    MOVED.store(0, Ordering::Relaxed);
    MOVING.store(0, Ordering::Relaxed);
    ERRORS.lock().clear();
}

/// Before it is sent.
pub(super) fn sent(kind: Kind, number: u64) {
    ACCOUNTS[kind as usize]
        .sent
        .fetch_add(number, Ordering::Relaxed);
}

/// It could not be sent.
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

/// A line was moved, or somebody else is moving it.
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

/// Something is wrong that the sums do not tell.
pub(super) fn error(text: impl Into<String>) {
    let text = text.into();
    let mut errors = ERRORS.lock();
    if errors.len() < MOST_ERRORS {
        errors.push(text);
    }
}

pub(super) fn take_errors() -> Vec<String> {
    core::mem::take(&mut ERRORS.lock())
}

pub(super) fn sums() -> Vec<(Kind, Sums)> {
    let sums = |kind: Kind| {
        // First: if as many have been sent afterwards, none was on its way then.
        let received = ACCOUNTS[kind as usize].received.load(Ordering::Acquire);
        Sums {
            sent: ACCOUNTS[kind as usize].sent.load(Ordering::Relaxed),
            received,
        }
    };
    Kind::ALL.map(|kind| (kind, sums(kind))).to_vec()
}

/// Waits until everything that was sent has arrived. Returns whether it has.
pub(super) fn wait_until_even(patience: u64) -> bool {
    time::wait_until(patience, || sums().iter().all(|(_, sums)| sums.is_even()))
}
