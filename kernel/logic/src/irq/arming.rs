//! The armed state of a timer, shared between its owner and the CPU that controls it.
//!
//! A timer can be started and cancelled from any CPU, but only its owner, the CPU whose queue it is
//! in, changes the queue. One word decides between the two, so neither ever waits:
//!
//! ```text
//! handle    replace .......... new number, started or not, in one exchange; returns the old state
//!           publish .......... writes a command to the timer's slot; may require a notification
//! owner     take ............. the command in the slot, if it is of the handle's last operation
//!           claim ............ before a call of the function; fails if the number is not the last
//!           renew ............ the function starts or stops the timer; fails likewise
//! ```
//!
//! The handle is the code that owns the `Timer`, on one CPU at a time. Each of its operations has a
//! new number, so an expiry that belongs to an earlier operation finds another number in the word
//! and does nothing; the queue may be corrected later. The next command overwrites one that the
//! owner has not taken. A request of the function itself is valid only if the handle has done no
//! operation since the call.
//!
//! | word | meaning |
//! |---|---|
//! | 2 n | number n, not started |
//! | 2 n + 1 | number n, started, and its function has not been called for it |

use super::sync::{AtomicUsize, Ordering, const_fn};

/// The bit of the word that is set while the timer is started.
const STARTED: usize = 1;

/// State of the slot: the owner has taken the command and has not been notified of another one.
const TAKEN: usize = 0;
/// State of the slot: it has a command, of which the owner has been or is being notified.
const READY: usize = 1;
/// State of the slot: the handle is writing a command.
const WRITING: usize = 2;
/// State of the slot: the owner read it while the handle was writing, and must be notified again.
const SEEN: usize = 3;

/// Mask of the state.
const STATE: usize = 3;

/// The number of an operation of the handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(usize);

impl Number {
    /// The number of a timer on which no operation was done yet.
    pub const FIRST: Self = Self(0);

    /// The number of the next operation.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(2))
    }
}

/// The change of a timer's word that permits one call of its function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    started: usize,
    after: usize,
}

impl Claim {
    /// A claim for operation `number`. With `once`, the timer is not started afterwards.
    #[must_use]
    pub const fn new(number: Number, once: bool) -> Self {
        let started = number.0 | STARTED;
        Self {
            started,
            after: started - once as usize,
        }
    }

    /// The operation that the claim is for.
    #[inline]
    #[must_use]
    pub const fn number(self) -> Number {
        Number(self.started & !STARTED)
    }
}

/// A command of the handle to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The number of the operation.
    pub number: Number,
    /// The content of the command.
    pub words: [usize; 2],
}

/// The armed state of a timer, and the slot for its commands.
#[derive(Debug)]
pub struct Arming {
    word: AtomicUsize,
    /// Twice the number of the command in the slot, plus one of the states above.
    slot: AtomicUsize,
    words: [AtomicUsize; 2],
}

impl Arming {
    const_fn! {
        /// The state of a timer that is not started.
        #[must_use]
        pub fn new() -> Self {
            Self {
                word: AtomicUsize::new(0),
                slot: AtomicUsize::new(TAKEN),
                words: [AtomicUsize::new(0), AtomicUsize::new(0)],
            }
        }
    }

    /// Whether the timer is started. For any CPU.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.word.load(Ordering::Relaxed) & STARTED != 0
    }

    /// Starts the timer again, or cancels it. Returns whether it was started; if so, the function
    /// is not called for the earlier start any more. For the handle.
    pub fn replace(&self, number: Number, is_started: bool) -> bool {
        // Acquire: if the function has been called, what it wrote before is visible.
        let before = self
            .word
            .swap(number.0 | usize::from(is_started), Ordering::AcqRel);
        before & STARTED != 0
    }

    /// Puts a command into the slot; its number is that of the last [`replace`](Self::replace).
    /// Returns whether the owner must be notified. If not, a notification is already pending, and
    /// the owner takes this command, possibly before this returns. For the handle.
    #[must_use = "the owner must be notified"]
    pub fn publish(&self, command: Command) -> bool {
        let number = command.number.0 << 1;
        let before = self.slot.swap(number | WRITING, Ordering::AcqRel);
        for (word, value) in self.words.iter().zip(command.words) {
            // Release: an owner that reads the word also finds the slot in state WRITING.
            word.store(value, Ordering::Release);
        }
        // The last access, unless the owner must be notified.
        let now = self.slot.swap(number | READY, Ordering::AcqRel);
        before & STATE == TAKEN || now & STATE == SEEN
    }

    /// Whether the owner has been notified of a command that it has not taken. Must not be called
    /// while the handle publishes.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.slot.load(Ordering::Acquire) & STATE == READY
    }

    /// Takes the command, once for each notification. `None` if the handle has begun a later
    /// operation, which notifies again where necessary. For the owner.
    #[must_use]
    pub fn take(&self) -> Option<Command> {
        loop {
            let slot = self.slot.load(Ordering::Acquire);
            let words = [
                self.words[0].load(Ordering::Acquire),
                self.words[1].load(Ordering::Acquire),
            ];
            let (number, next) = match slot & STATE {
                READY => (Some((slot & !STATE) >> 1), TAKEN),
                WRITING => (None, SEEN),
                _ => return None,
            };
            // If the slot has not changed, the words belong to this command.
            let changed = self.slot.compare_exchange(
                slot,
                slot & !STATE | next,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
            if changed.is_err() {
                continue;
            }
            let number = number?;
            let is_last = self.word.load(Ordering::Relaxed) & !STARTED == number;
            return is_last.then_some(Command {
                number: Number(number),
                words,
            });
        }
    }

    /// Whether operation `number` has started the timer, and the function may still be called for
    /// it. For the owner.
    #[must_use]
    pub fn is_due(&self, number: Number) -> bool {
        self.word.load(Ordering::Relaxed) == number.0 | STARTED
    }

    /// Claims a call of the function for the operation of `claim`. Returns whether the call is
    /// permitted. For the owner.
    #[inline]
    #[must_use]
    pub fn claim(&self, claim: Claim) -> bool {
        // Acquire: what the handle wrote before is visible. Release: see `replace`.
        self.word
            .compare_exchange(
                claim.started,
                claim.after,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Starts or stops the timer on behalf of its function, if `number` is still the handle's last
    /// operation. Returns whether it is. For the owner.
    #[must_use]
    pub fn renew(&self, number: Number, is_started: bool) -> bool {
        let new = number.0 | usize::from(is_started);
        let old = self.word.load(Ordering::Relaxed);
        old & !STARTED == number.0
            && self
                .word
                .compare_exchange(old, new, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
    }
}

impl Default for Arming {
    fn default() -> Self {
        Self::new()
    }
}
