//! Whether a timer is started, as its owner and other CPUs see it at once.
//!
//! A timer is started and cancelled from any CPU, but only its owner, the CPU whose queue it is in,
//! touches the queue. One word decides between them, so that no side ever waits:
//!
//! ```text
//! control   replace ................ a new number, started or not: one exchange, which says what it was
//!           publish ................ what to do, in the one slot of the timer; tells the owner if it must
//! owner     take ................... what is in the slot, if that is still the last word
//!           claim .................. before the function is called: fails unless the number is the owner's
//!           renew .................. the function starts or stops the timer: fails likewise
//! ```
//!
//! The control is whoever has the timer, on one CPU at a time. Each of its operations takes a new number, so
//! an expiry of an earlier one finds another number in the word and does nothing: the queue may be
//! mended later. A command that the owner has not taken is overwritten by the next: the latest wins. What
//! the function itself asks for counts only if the control has said nothing since.
//!
//! | word | meaning |
//! |---|---|
//! | 2 n | number n, not started |
//! | 2 n + 1 | number n, started, and its function has not been called for it |

use super::sync::{AtomicUsize, Ordering, const_fn};

/// The bit of the word that says that the timer is started.
const STARTED: usize = 1;

/// The states of the slot. The owner has taken the command, and has not been told of another one.
const TAKEN: usize = 0;
/// There is a command, of which the owner has been told or is being told.
const READY: usize = 1;
/// The control is writing a command.
const WRITING: usize = 2;
/// The owner has looked while the control was writing, and must be told.
const SEEN: usize = 3;

/// The bits of the state.
const STATE: usize = 3;

/// The number of an operation of the control.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number(usize);

impl Number {
    /// That of a timer with which nothing has been done.
    pub const FIRST: Self = Self(0);

    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(2))
    }
}

/// What the word of a timer becomes when its function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    started: usize,
    after: usize,
}

impl Claim {
    /// For operation `number`; `once`: it is not started afterwards.
    #[must_use]
    pub const fn new(number: Number, once: bool) -> Self {
        let started = number.0 | STARTED;
        Self {
            started,
            after: started - once as usize,
        }
    }

    /// Which operation it is for.
    #[inline]
    #[must_use]
    pub const fn number(self) -> Number {
        Number(self.started & !STARTED)
    }
}

/// What the control asks of the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which of the control's operations this is.
    pub number: Number,
    /// Two words for the owner.
    pub words: [usize; 2],
}

/// What decides whether a timer fires.
#[derive(Debug)]
pub struct Arming {
    word: AtomicUsize,
    /// The number of the command in the slot, doubled, and one of the states below.
    slot: AtomicUsize,
    words: [AtomicUsize; 2],
}

impl Arming {
    const_fn! {
        /// Of a timer that is not started.
        #[must_use]
        pub fn new() -> Self {
            Self {
                word: AtomicUsize::new(0),
                slot: AtomicUsize::new(TAKEN),
                words: [AtomicUsize::new(0), AtomicUsize::new(0)],
            }
        }
    }

    /// Whether it is started. Any CPU.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.word.load(Ordering::Relaxed) & STARTED != 0
    }

    /// Starts it anew, or cancels it. The control. Returns whether it was started: then the function is not
    /// called for that any more.
    pub fn replace(&self, number: Number, is_started: bool) -> bool {
        // Acquire: what the function did before is seen where it has been called.
        let before = self
            .word
            .swap(number.0 | usize::from(is_started), Ordering::AcqRel);
        before & STARTED != 0
    }

    /// Puts a command into the slot, whose number the last [`replace`](Self::replace) has set. The control.
    /// Returns whether the owner must be told that there is one; otherwise it has been told, and takes this
    /// one: it may be done with it before this returns.
    #[must_use = "the owner must be told"]
    pub fn publish(&self, command: Command) -> bool {
        let number = command.number.0 << 1;
        let before = self.slot.swap(number | WRITING, Ordering::AcqRel);
        for (word, value) in self.words.iter().zip(command.words) {
            // Release: who sees it sees that the slot is being written.
            word.store(value, Ordering::Release);
        }
        // The last access, unless the owner must be told.
        let now = self.slot.swap(number | READY, Ordering::AcqRel);
        before & STATE == TAKEN || now & STATE == SEEN
    }

    /// Whether the owner has been told of a command that it has not taken. Not while the control publishes.
    #[must_use]
    pub fn is_told(&self) -> bool {
        self.slot.load(Ordering::Acquire) & STATE == READY
    }

    /// Takes the command of which it has been told, once for each time; none if the control has gone on since,
    /// which then tells it again or needs no one. The owner.
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
            // The words are those of this command, if the slot is still the same.
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

    /// Whether it is started by operation `number`, and its function may still be called for that. The owner.
    #[must_use]
    pub fn is_due(&self, number: Number) -> bool {
        self.word.load(Ordering::Relaxed) == number.0 | STARTED
    }

    /// The function is about to be called, for the operation of `claim`. Whether it may be. The owner.
    #[inline]
    #[must_use]
    pub fn claim(&self, claim: Claim) -> bool {
        // Acquire: what the control wrote before is seen. Release: see `replace`.
        self.word
            .compare_exchange(
                claim.started,
                claim.after,
                Ordering::AcqRel,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Starts or stops it for its function, if `number` is still the last of the control's operations.
    /// Whether that is so. The owner.
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
