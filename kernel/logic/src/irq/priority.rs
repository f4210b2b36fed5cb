//! Interrupt preemption and nesting depth.
//!
//! The rule is the local APIC's: an interrupt is delivered if its class (vector / 16) is above that
//! of the PPR, which is the higher of CR8 and of the interrupt in service. So nested interrupts
//! have strictly ascending classes, and their number is at most the number of classes in use.
//! [`stack`](super::stack) derives the required stack from this.
//!
//! [`Model`] models the part of the local APIC that decides on delivery, as a reference for tests.

use super::vectors::VectorSet;
use crate::vector::{PriorityClass, Vector};
use core::fmt;

/// The value of the processor-priority register (SDM vol. 3A, 12.8.3.1), given the TPR and the
/// highest vector in service.
///
/// Bits 7:4 are the higher of the two classes. Bits 3:0 are those of the TPR if its class is the
/// higher one, else 0. If both classes are equal, the value is model-specific: 0 or the TPR's; here
/// it is the TPR's, as in QEMU. No decision depends on these bits.
#[must_use]
pub const fn ppr(tpr: u8, highest_isr: Option<Vector>) -> u8 {
    match highest_isr {
        Some(vector) if vector.get() >> 4 > tpr >> 4 => vector.get() & 0xf0,
        _ => tpr,
    }
}

/// Whether the processor takes a requested interrupt at this PPR: its class must be above the
/// PPR's. IF is not considered.
#[must_use]
pub const fn is_deliverable(vector: Vector, ppr: u8) -> bool {
    vector.get() >> 4 > ppr >> 4
}

/// A set of priority classes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClassSet(u16);

impl ClassSet {
    /// The empty set.
    pub const EMPTY: Self = Self(0);
    /// All classes that interrupts can have: 2 to 15.
    pub const USABLE: Self = Self(0xfffc);

    /// The set with `class` added.
    #[must_use]
    pub const fn with(self, class: PriorityClass) -> Self {
        Self(self.0 | 1 << class.get())
    }

    /// The classes above `class`: those that can interrupt code of that priority.
    #[must_use]
    pub const fn above(self, class: PriorityClass) -> Self {
        Self(self.0 & !((2_u32 << class.get()) - 1) as u16)
    }

    /// Whether the set contains the class.
    #[must_use]
    pub const fn contains(self, class: PriorityClass) -> bool {
        self.0 >> class.get() & 1 != 0
    }

    /// Number of classes, 0 to 16.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Iterates over the classes in ascending order.
    pub fn iter(self) -> impl DoubleEndedIterator<Item = PriorityClass> {
        (0..16)
            .filter_map(PriorityClass::new)
            .filter(move |&class| self.contains(class))
    }
}

impl fmt::Debug for ClassSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.iter().map(PriorityClass::get))
            .finish()
    }
}

/// The maximum number of interrupts in service at once on a CPU, if the arriving interrupts have
/// these classes: one for each usable class, 0 to 14.
#[must_use]
pub const fn max_depth(classes: ClassSet) -> u32 {
    ClassSet(classes.0 & ClassSet::USABLE.0).len()
}

/// The result of an interrupt request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accepted {
    /// It is pending in IRR.
    Requested,
    /// The same vector is already pending; the two requests are merged.
    Merged,
    /// Vectors 0 to 15 are rejected with an "illegal vector" error (SDM vol. 3A, 12.5.2 and
    /// 12.5.3).
    Illegal,
}

/// A model of interrupt acceptance and delivery in a local APIC (SDM vol. 3A, 12.8.3 to 12.8.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Model {
    /// Requested, not yet delivered.
    pub irr: VectorSet,
    /// Delivered, without an EOI so far.
    pub isr: VectorSet,
    /// The task priority: CR8 is its bits 7:4.
    pub tpr: u8,
}

impl Model {
    /// After reset: no interrupt requested or in service, TPR 0.
    pub const RESET: Self = Self {
        irr: VectorSet::EMPTY,
        isr: VectorSet::EMPTY,
        tpr: 0,
    };

    /// An interrupt arrives.
    pub const fn request(&mut self, vector: Vector) -> Accepted {
        if vector.get() < 16 {
            Accepted::Illegal
        } else if self.irr.insert(vector) {
            Accepted::Requested
        } else {
            Accepted::Merged
        }
    }

    /// Writes the TPR register.
    pub const fn set_tpr(&mut self, tpr: u8) {
        self.tpr = tpr;
    }

    /// Writes CR8, which clears the TPR's lower half (SDM vol. 3A, 12.8.6.1).
    pub const fn set_cr8(&mut self, class: PriorityClass) {
        self.tpr = class.get() << 4;
    }

    /// The PPR.
    #[must_use]
    pub const fn ppr(&self) -> u8 {
        ppr(self.tpr, self.isr.highest())
    }

    /// The processor takes an interrupt, with IF = 1: the highest requested one goes into service,
    /// if its class is above the PPR's.
    pub const fn deliver(&mut self) -> Option<Vector> {
        match self.irr.highest() {
            Some(vector) if is_deliverable(vector, self.ppr()) => {
                self.irr.remove(vector);
                self.isr.insert(vector);
                Some(vector)
            }
            _ => None,
        }
    }

    /// Writes EOI: the highest interrupt in service ends. `None` if there is none, as after a
    /// superfluous EOI, which has no effect.
    pub const fn eoi(&mut self) -> Option<Vector> {
        let ended = self.isr.highest();
        if let Some(vector) = ended {
            self.isr.remove(vector);
        }
        ended
    }

    /// Number of interrupts in service.
    #[must_use]
    pub const fn depth(&self) -> u32 {
        self.isr.len()
    }
}
