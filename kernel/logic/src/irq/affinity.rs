//! Moving a line to another CPU or vector while its interrupts keep coming.
//!
//! Until the last step, interrupts arrive at either place, so both have the handler.
//! A [`Move`] is the list of steps; the kernel does one after the other and says when
//! each is done. What differs between sources is how the route can be changed so that
//! no interrupt goes to a mixture of the old one and the new one, or nowhere:
//!
//! | source | how |
//! |---|---|
//! | message, maskable (MSI-X, MSI with mask bits) | masked: the device remembers what it would have sent (PCI Local Bus 3.0, 6.8.1.9) |
//! | message, not maskable | one register at a time, by a third place |
//! | pin, edge-triggered | the same: a masked pin forgets its edges (82093AA data sheet, 3.2.4) |
//! | pin, level-triggered | masked, and not before remote IRR is clear |
//!
//! **The third place.** Vector and destination of an unmaskable message are two
//! registers, those of a redirection entry two halves. Between the two writes
//! interrupts go to the new vector on the old CPU: it gets the handler too. If the
//! same vector is free on the new CPU, there is only one write and no third place:
//! [`choose`] prefers it.
//!
//! **Remote IRR.** The EOI of a level-triggered interrupt is broadcast with its
//! vector, and the I/O APIC compares it with the entry's (82093AA, 3.2.4; SDM vol. 3A,
//! 12.8.5). If the entry were rewritten meanwhile, remote IRR would stay set, and the
//! pin would be dead. That no other pin's EOI does it, [`Levels`](super::vectors::Levels) sees to.
//!
//! **Old places.** A message that was sent before the change may still be on its way;
//! then it waits in the old CPU's IRR; then it is in its ISR. Only after all
//! three may the handler go, and the vector be given to others.

use super::vectors::VectorSet;
use crate::topology::CpuId;
use crate::vector::{PriorityClass, Vector};
use arrayvec::ArrayVec;
use core::fmt;

/// Where the interrupts of a line go: a vector of a CPU. For a device with several
/// messages, the first vector of its block; what is said of a place is then to be done for
/// each vector of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The CPU.
    pub cpu: CpuId,
    /// The vector.
    pub vector: Vector,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vector {} of CPU {}", self.vector, self.cpu)
    }
}

/// What sends the interrupts of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// A message that can be masked, and is sent when the mask is taken away: MSI-X,
    /// MSI with mask bits; a redirection entry or message that is remapped.
    MaskableMessage,
    /// A message that cannot be masked: MSI without mask bits.
    PlainMessage,
    /// An edge-triggered pin of an I/O APIC.
    EdgePin,
    /// A level-triggered pin of an I/O APIC.
    LevelPin,
}

impl Source {
    /// Whether nothing is lost while it is masked.
    #[must_use]
    pub const fn can_be_masked(self) -> bool {
        matches!(self, Self::MaskableMessage | Self::LevelPin)
    }

    /// Whether what it has sent must have been ended before its entry changes or its handler goes: the pin
    /// waits for an EOI with the old vector, which where broadcasts are suppressed only the handler
    /// sends (SDM vol. 3A, 12.8.5).
    #[must_use]
    pub const fn waits_for_end(self) -> bool {
        matches!(self, Self::LevelPin)
    }
}

/// One step of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Give this place the line's handler and context.
    Install(Place),
    /// Mask the source.
    Mask,
    /// Wait until the pin has neither remote IRR nor an unsent message. The handler must be
    /// able to run meanwhile.
    AwaitIdle,
    /// Write vector and destination. The source is masked.
    SetRoute(Place),
    /// Write the vector alone, in one write: the message's data, the low half of a
    /// redirection entry.
    SetVector(Vector),
    /// Write the destination alone, in one write: the message's address, the high
    /// half of a redirection entry.
    SetDestination(CpuId),
    /// Unmask the source.
    Unmask,
    /// Wait until what has been sent has arrived: read from the device, whose answer pushes
    /// its messages before it (PCI Local Bus 3.0, 3.2.5); read the redirection
    /// entry until its delivery status is clear.
    Flush,
    /// On the place's CPU, look whether its vector is clear in IRR and in ISR. If not, let
    /// it handle its interrupts, and look again.
    Drain(Place),
    /// Remove the handler from this place, by the protocol of
    /// [`table`](super::table).
    Remove(Place),
    /// Give the place's vector back.
    Free(Place),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install(place) => write!(f, "install the handler at {place}"),
            Self::Mask => f.write_str("mask"),
            Self::AwaitIdle => f.write_str("wait for remote IRR to clear"),
            Self::SetRoute(place) => write!(f, "route to {place}"),
            Self::SetVector(vector) => write!(f, "set vector {vector}"),
            Self::SetDestination(cpu) => write!(f, "set destination CPU {cpu}"),
            Self::Unmask => f.write_str("unmask"),
            Self::Flush => f.write_str("wait for messages on their way"),
            Self::Drain(place) => write!(f, "wait for IRR and ISR to clear at {place}"),
            Self::Remove(place) => write!(f, "remove the handler from {place}"),
            Self::Free(place) => write!(f, "free {place}"),
        }
    }
}

/// The most steps that a move has.
const MAX_STEPS: usize = 11;

/// The move of a line. No two of one line at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    steps: ArrayVec<Action, MAX_STEPS>,
    /// How many are done.
    done: usize,
    new: Place,
    via: Option<Place>,
}

impl Move {
    /// The move of a line of this source from `old` to `new`; `None` if both are the
    /// same.
    ///
    /// The vectors of [`places`](Self::places) must have been taken for it; the first step
    /// is to give them handlers. The vector of `old` is freed at the end.
    #[must_use]
    pub fn new(source: Source, old: Place, new: Place) -> Option<Self> {
        if old == new {
            return None;
        }
        let both_differ = old.cpu != new.cpu && old.vector != new.vector;
        let via = (both_differ && !source.can_be_masked()).then_some(Place {
            cpu: old.cpu,
            vector: new.vector,
        });
        let mut steps: ArrayVec<_, MAX_STEPS> = ArrayVec::new();
        steps.push(Action::Install(new));
        if source.can_be_masked() {
            steps.push(Action::Mask);
            if source.waits_for_end() {
                steps.push(Action::AwaitIdle);
            }
            steps.push(Action::SetRoute(new));
            steps.push(Action::Unmask);
        } else {
            steps.extend(via.map(Action::Install));
            if old.vector != new.vector {
                steps.push(Action::SetVector(new.vector));
            }
            if old.cpu != new.cpu {
                steps.push(Action::SetDestination(new.cpu));
            }
        }
        steps.push(Action::Flush);
        for place in via.into_iter().chain([old]) {
            steps.extend([
                Action::Drain(place),
                Action::Remove(place),
                Action::Free(place),
            ]);
        }
        Some(Self {
            steps,
            done: 0,
            new,
            via,
        })
    }

    /// The places whose vectors are needed: the new one, and the third one if there is
    /// any, which has the same vector.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        [self.new].into_iter().chain(self.via)
    }

    /// What is to be done now; `None` when all is.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        self.steps.get(self.done).copied()
    }

    /// The current action is done.
    pub fn advance(&mut self) {
        self.done = (self.done + 1).min(self.steps.len());
    }

    /// Gives up, when a handler cannot be installed or a pin does not become idle: from here
    /// on the steps are those that undo what was done, the freeing of
    /// [`places`](Self::places) included.
    ///
    /// Returns false, and changes nothing, if the route has been changed already: only
    /// going on helps. The later steps wait for nothing but the old CPU to handle
    /// its interrupts.
    #[must_use = "a move that is past its change of route must go on"]
    pub fn abandon(&mut self) -> bool {
        if self.steps.first() != Some(&Action::Install(self.new)) {
            // Given up already.
            return true;
        }
        let past = &self.steps[..self.done];
        let is_rerouted = past.iter().any(|step| {
            matches!(
                step,
                Action::SetRoute(_) | Action::SetVector(_) | Action::SetDestination(_)
            )
        });
        if is_rerouted {
            return false;
        }
        let mut steps = ArrayVec::new();
        if past.contains(&Action::Mask) {
            steps.push(Action::Unmask);
        }
        for place in self.places() {
            if past.contains(&Action::Install(place)) {
                steps.push(Action::Remove(place));
            }
            steps.push(Action::Free(place));
        }
        self.steps = steps;
        self.done = 0;
        true
    }
}

/// The vector to which a line moves that has `count` vectors from `old` on (`count` as
/// in [`VectorSet::find_block`]): the first of a block of `class`.
///
/// `on_old` and `on_new` are the vectors that the old and the new CPU can give out. Where
/// the move needs a third place, the block is free on both. `None` if there is none.
#[must_use]
pub fn choose(
    source: Source,
    class: PriorityClass,
    count: u8,
    old: Vector,
    on_old: VectorSet,
    on_new: VectorSet,
) -> Option<Vector> {
    if source.can_be_masked() {
        return on_new.find_block(class, count);
    }
    let same = VectorSet::block(old, count);
    if old.priority_class() == class && !same.is_empty() && same.without(on_new).is_empty() {
        return Some(old);
    }
    on_old.common(on_new).find_block(class, count)
}
