//! Calling a function on other CPUs.
//!
//! Each CPU has a [`Mailbox`], its own queue of calls and one word, written by it
//! alone, that counts the calls it has finished. A call to a set of CPUs is a call
//! to each of them; no counter is shared by those who answer.
//!
//! ```text
//! sender    for each target: post           IF = 0 for the time of one post
//!           one ICR write                   to one, to all but self; or one for each
//!           for each target:
//!               until is_done(posted()) ..  reads that target's own word
//! target    on the call's vector: serve
//! ```
//!
//! The number of a call in its mailbox is its generation, a [`Ticket`]. Who has
//! called many CPUs need not keep a ticket for each: [`posted`](Mailbox::posted) gives one
//! that covers all calls posted to that CPU so far.
//!
//! What callers owe:
//!
//! - **Post with this CPU's interrupts off.** An interrupt between the two halves of a
//!   post, whose handler calls the same CPU and waits, would wait for ever: calls
//!   are served in order. For the same reason an NMI may post, but not wait.
//! - **Wait only below the class of the call's vector**, and with interrupts on; or call
//!   [`serve`](Mailbox::serve) on one's own mailbox in the loop. Two CPUs that call
//!   each other then serve each other.
//! - **A called function does not wait for calls of its own.** Its CPU serves nothing
//!   meanwhile, and two such CPUs would wait for each other. It may post.
//! - In x2APIC mode, writing the ICR does not wait for earlier stores: `mfence; lfence`
//!   goes before it (SDM vol. 3A, 12.12.3).

use super::queue::{Full, Queue};
use super::sync::{AtomicUsize, Ordering, compiler_fence, const_fn};

/// What a CPU is asked to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// The function's address.
    pub function: usize,
    /// What it is called with.
    pub argument: usize,
    /// Which call of its mailbox it is; `is_done` with it says when it is finished.
    pub generation: Ticket,
}

/// A call's number in its mailbox: how many were posted up to it, itself included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(usize);

/// One CPU's calls: at most `N` waiting, a power of two, 2 or more.
#[derive(Debug)]
pub struct Mailbox<const N: usize> {
    calls: Queue<N>,
    answer: Answer,
}

/// What only the target writes: a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Answer {
    /// How many calls are finished.
    done: AtomicUsize,
    /// 1 while the target is in `serve`.
    serving: AtomicUsize,
}

impl<const N: usize> Mailbox<N> {
    const_fn! {
        /// A mailbox without calls.
        #[must_use]
        pub fn new() -> Self {
            Self {
                calls: Queue::new(),
                answer: Answer {
                    done: AtomicUsize::new(0),
                    serving: AtomicUsize::new(0),
                },
            }
        }
    }

    /// Posts a call. From any CPU, at any level, with its interrupts off. Then send the
    /// target the call's vector.
    ///
    /// Whatever the caller wrote before, the function sees.
    ///
    /// # Errors
    ///
    /// [`Full`] if `N` calls wait. Send the vector all the same, serve one's own
    /// mailbox, and try again; in a called function, give up.
    pub fn post(&self, function: usize, argument: usize) -> Result<Ticket, Full> {
        let claim = self.calls.claim()?;
        let ticket = Ticket(claim.number().wrapping_add(1));
        self.calls.publish(claim, function, argument);
        Ok(ticket)
    }

    /// A ticket for all calls posted so far, by the caller or by anyone before whom
    /// it comes.
    #[must_use]
    pub fn posted(&self) -> Ticket {
        Ticket(self.calls.claimed())
    }

    /// Whether the call of this ticket, and all before it, are finished. From any CPU.
    /// Then all that they wrote is seen.
    #[inline]
    #[must_use]
    pub fn is_done(&self, ticket: Ticket) -> bool {
        let done = self.answer.done.load(Ordering::Acquire);
        // The difference, so that it does not matter that the numbers wrap.
        ticket.0.wrapping_sub(done).cast_signed() <= 0
    }

    /// Runs what has been posted, in its order, by `run`. Only on the mailbox's CPU.
    /// Returns how many calls it ran.
    ///
    /// If the CPU is in `serve` already, this does nothing: the outer one finds the
    /// rest before it returns.
    pub fn serve(&self, mut run: impl FnMut(Call)) -> usize {
        let Answer { done, serving } = &self.answer;
        let mut count = 0;
        if serving.load(Ordering::Relaxed) != 0 {
            return count;
        }
        loop {
            serving.store(1, Ordering::Relaxed);
            // Interrupts of this CPU see it before anything is taken, ...
            compiler_fence(Ordering::SeqCst);
            let mut finished = done.load(Ordering::Relaxed);
            while let Some((function, argument)) = self.calls.pop() {
                finished = finished.wrapping_add(1);
                run(Call {
                    function,
                    argument,
                    generation: Ticket(finished),
                });
                // Release: what it did comes before.
                done.store(finished, Ordering::Release);
                count += 1;
            }
            compiler_fence(Ordering::SeqCst);
            serving.store(0, Ordering::Relaxed);
            // ... and its end before the next look: what arrived after the last, in an interrupt that
            // left it to us, is found by looking again when others would serve it.
            compiler_fence(Ordering::SeqCst);
            if self.calls.is_empty() {
                return count;
            }
        }
    }

    /// Whether this CPU is in [`serve`](Self::serve), in the running code or beneath it. Only on the
    /// mailbox's CPU.
    pub fn is_serving(&self) -> bool {
        self.answer.serving.load(Ordering::Relaxed) != 0
    }

    /// Whether nothing waits to be served. Only on the mailbox's CPU; a hint for others.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// How many posts found the mailbox full. Any CPU.
    pub fn overflowed(&self) -> usize {
        self.calls.overflowed()
    }
}

impl<const N: usize> Default for Mailbox<N> {
    fn default() -> Self {
        Self::new()
    }
}
