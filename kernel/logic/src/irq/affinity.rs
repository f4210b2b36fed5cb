//! Moving a line to another CPU or vector while interrupts arrive.
//!
//! Until the last step, interrupts can arrive at the old and the new target, so both have the
//! handler. A [`Move`] is the list of steps; the kernel performs them in order and reports the
//! completion of each. Sources differ in how the route can be changed without an interrupt being
//! lost or delivered to a mixture of the old and the new route:
//!
//! | source | method |
//! |---|---|
//! | message, maskable (MSI-X, MSI with mask bits) | masked: the device keeps it pending (PCI 3.0, 6.8.1.9) |
//! | message, not maskable | one register at a time, through an intermediate target |
//! | pin, edge-triggered | the same: a masked pin loses its edges (82093AA data sheet, 3.2.4) |
//! | pin, level-triggered | masked, and only after remote IRR is clear |
//!
//! **The intermediate target.** Vector and destination of an unmaskable message are two registers;
//! those of a redirection entry are two halves. Between the two writes, interrupts are delivered
//! with the new vector to the old CPU, so that vector of the old CPU has the handler too. If the
//! same vector is free on the new CPU, one write suffices and there is no intermediate target:
//! [`choose_vector`] prefers this.
//!
//! **Remote IRR.** The EOI of a level-triggered interrupt is broadcast with its vector, and the I/O
//! APIC compares it with the vector of the entry (82093AA, 3.2.4; SDM vol. 3A, 12.8.5). If the
//! entry were rewritten before the EOI, remote IRR would stay set, and the pin would deliver no
//! further interrupts. [`Levels`](super::vectors::Levels) prevents the EOI of another pin from
//! clearing it.
//!
//! **Old targets.** A message that was sent before the change may still be in transit, then pending
//! in the old CPU's IRR, then in its ISR. The handler may be removed and the vector reused only
//! when none of the three is the case.

use super::vectors::VectorSet;
use crate::topology::CpuId;
use crate::vector::{PriorityClass, Vector};
use arrayvec::ArrayVec;
use core::fmt;

/// The target of a line's interrupts: a vector of a CPU. For a device with several messages, it is
/// the first vector of the block, and each step applies to every vector of the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The CPU.
    pub cpu: CpuId,
    /// The vector.
    pub vector: Vector,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vector {} of CPU {}", self.vector, self.cpu)
    }
}

/// The kind of interrupt source of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// A message that can be masked and is sent when it is unmasked: MSI-X, MSI with mask bits, or
    /// a remapped redirection entry or message.
    MaskableMessage,
    /// A message that cannot be masked: MSI without mask bits.
    PlainMessage,
    /// An edge-triggered pin of an I/O APIC.
    EdgePin,
    /// A level-triggered pin of an I/O APIC.
    LevelPin,
}

impl SourceKind {
    /// Whether the source can be masked without losing interrupts.
    #[must_use]
    pub const fn can_be_masked(self) -> bool {
        matches!(self, Self::MaskableMessage | Self::LevelPin)
    }

    /// Whether an interrupt in service must receive its EOI before the entry changes or the handler
    /// is removed: the pin waits for an EOI with the old vector, and where EOI broadcasts are
    /// suppressed, only the handler sends it (SDM vol. 3A, 12.8.5).
    #[must_use]
    pub const fn waits_for_eoi(self) -> bool {
        matches!(self, Self::LevelPin)
    }
}

/// One step of a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Install the line's handler and context at this target.
    Install(Target),
    /// Mask the source.
    Mask,
    /// Wait until the pin has neither remote IRR nor an unsent message. The handler must be able to
    /// run during the wait.
    AwaitIdle,
    /// Write vector and destination while the source is masked.
    SetRoute(Target),
    /// Write the vector alone, in one write: the message's data, or the low half of a redirection
    /// entry.
    SetVector(Vector),
    /// Write the destination alone, in one write: the message's address, or the high half of a
    /// redirection entry.
    SetDestination(CpuId),
    /// Unmask the source.
    Unmask,
    /// Wait until sent messages have arrived: read from the device, because the completion pushes
    /// its earlier messages ahead (PCI Local Bus 3.0, 3.2.5); or read the redirection entry until
    /// its delivery status is clear.
    Flush,
    /// Check on the target's CPU whether the vector is clear in IRR and ISR. If not, let the CPU
    /// handle its interrupts, and check again.
    Drain(Target),
    /// Remove the handler from this target, by the protocol of [`table`](super::table).
    Remove(Target),
    /// Free the target's vector.
    Free(Target),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Install(target) => write!(f, "install the handler at {target}"),
            Self::Mask => f.write_str("mask"),
            Self::AwaitIdle => f.write_str("wait for remote IRR to clear"),
            Self::SetRoute(target) => write!(f, "route to {target}"),
            Self::SetVector(vector) => write!(f, "set vector {vector}"),
            Self::SetDestination(cpu) => write!(f, "set destination CPU {cpu}"),
            Self::Unmask => f.write_str("unmask"),
            Self::Flush => f.write_str("wait for messages on their way"),
            Self::Drain(target) => write!(f, "wait for IRR and ISR to clear at {target}"),
            Self::Remove(target) => write!(f, "remove the handler from {target}"),
            Self::Free(target) => write!(f, "free {target}"),
        }
    }
}

/// The maximum number of steps of a move.
const MAX_STEPS: usize = 11;

/// The move of a line. A line has at most one move at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    steps: ArrayVec<Action, MAX_STEPS>,
    /// Number of completed steps.
    done: usize,
    new: Target,
    intermediate: Option<Target>,
}

impl Move {
    /// A move of a line with this source from `old` to `new`; `None` if both are equal.
    ///
    /// The caller must have allocated the vectors of [`targets`](Self::targets); the first step
    /// installs their handlers. The last step frees the vector of `old`.
    #[must_use]
    pub fn new(source: SourceKind, old: Target, new: Target) -> Option<Self> {
        if old == new {
            return None;
        }
        let both_differ = old.cpu != new.cpu && old.vector != new.vector;
        let intermediate = (both_differ && !source.can_be_masked()).then_some(Target {
            cpu: old.cpu,
            vector: new.vector,
        });
        let mut steps: ArrayVec<_, MAX_STEPS> = ArrayVec::new();
        steps.push(Action::Install(new));
        if source.can_be_masked() {
            steps.push(Action::Mask);
            if source.waits_for_eoi() {
                steps.push(Action::AwaitIdle);
            }
            steps.push(Action::SetRoute(new));
            steps.push(Action::Unmask);
        } else {
            steps.extend(intermediate.map(Action::Install));
            if old.vector != new.vector {
                steps.push(Action::SetVector(new.vector));
            }
            if old.cpu != new.cpu {
                steps.push(Action::SetDestination(new.cpu));
            }
        }
        steps.push(Action::Flush);
        for target in intermediate.into_iter().chain([old]) {
            steps.extend([
                Action::Drain(target),
                Action::Remove(target),
                Action::Free(target),
            ]);
        }
        Some(Self {
            steps,
            done: 0,
            new,
            intermediate,
        })
    }

    /// The targets whose vectors the move needs: the new one and the intermediate one, if any,
    /// which has the same vector.
    pub fn targets(&self) -> impl Iterator<Item = Target> + use<> {
        [self.new].into_iter().chain(self.intermediate)
    }

    /// The current action; `None` if the move is complete.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        self.steps.get(self.done).copied()
    }

    /// Marks the current action as completed.
    pub fn advance(&mut self) {
        self.done = (self.done + 1).min(self.steps.len());
    }

    /// Abandons the move, because a handler cannot be installed or a pin does not become idle. The
    /// remaining steps then undo those that were completed, and free the vectors of
    /// [`targets`](Self::targets).
    ///
    /// Returns false and changes nothing if the route has already been changed: the move must then
    /// be completed. Its later steps wait only for the old CPU to handle its interrupts.
    #[must_use = "a move that is past its change of route must go on"]
    pub fn abandon(&mut self) -> bool {
        if self.steps.first() != Some(&Action::Install(self.new)) {
            // Already abandoned.
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
        for target in self.targets() {
            if past.contains(&Action::Install(target)) {
                steps.push(Action::Remove(target));
            }
            steps.push(Action::Free(target));
        }
        self.steps = steps;
        self.done = 0;
        true
    }
}

/// Chooses the new vector of a line that has `count` vectors from `old` on (`count` as in
/// [`VectorSet::find_block`]): the first of a block of `class`.
///
/// `on_old` and `on_new` are the vectors available on the old and the new CPU. If the move needs an
/// intermediate target, the block is free on both. Returns `None` if there is no such block.
#[must_use]
pub fn choose_vector(
    source: SourceKind,
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
