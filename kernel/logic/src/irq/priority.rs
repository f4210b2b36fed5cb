//! Who preempts whom, and how deep that nests.
//!
//! The rule is the local APIC's: an interrupt is delivered if its class (vector / 16)
//! is above that of the PPR, which is the higher of CR8 and of the interrupt in
//! service. So interrupts in service have strictly rising classes, and there are
//! never more of them than classes in use. What stack that takes, [`stack`](super::stack) says.
//!
//! [`Model`] is the part of the local APIC that decides, for tests to compare with.

use super::vectors::VectorSet;
use crate::vector::{PriorityClass, Vector};
use core::fmt;

/// The value of the processor-priority register (SDM vol. 3A, 12.8.3.1), given the
/// TPR and the highest vector in service.
///
/// Bits 7:4 are the higher of the two classes. Bits 3:0 are the TPR's if its class
/// is the higher one, else 0. If both classes are equal, the manual leaves it to the
/// processor: 0 or the TPR's; it is the TPR's here, as in QEMU. No decision depends
/// on these bits.
#[must_use]
pub const fn ppr(tpr: u8, highest_isr: Option<Vector>) -> u8 {
    match highest_isr {
        Some(vector) if vector.get() >> 4 > tpr >> 4 => vector.get() & 0xf0,
        _ => tpr,
    }
}

/// Whether the processor takes a requested interrupt at this PPR: if its class is
/// above the PPR's. IF is a matter of its own.
#[must_use]
pub const fn is_deliverable(vector: Vector, ppr: u8) -> bool {
    vector.get() >> 4 > ppr >> 4
}

/// A set of priority classes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ClassSet(u16);

impl ClassSet {
    /// None.
    pub const EMPTY: Self = Self(0);
    /// All that interrupts can have: 2 to 15.
    pub const USABLE: Self = Self(0xfffc);

    /// With one more class.
    #[must_use]
    pub const fn with(self, class: PriorityClass) -> Self {
        Self(self.0 | 1 << class.get())
    }

    /// Only those above `class`: what can interrupt code of that priority.
    #[must_use]
    pub const fn above(self, class: PriorityClass) -> Self {
        Self(self.0 & !((2_u32 << class.get()) - 1) as u16)
    }

    /// Whether a class is in it.
    #[must_use]
    pub const fn contains(self, class: PriorityClass) -> bool {
        self.0 >> class.get() & 1 != 0
    }

    /// How many there are, 0 to 16.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// All of them, the lowest first.
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

/// The most interrupts that are in service at once on a CPU, if those that arrive have
/// these classes: one of each usable one, 0 to 14.
#[must_use]
pub const fn max_depth(classes: ClassSet) -> u32 {
    ClassSet(classes.0 & ClassSet::USABLE.0).len()
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accepted {
    /// It waits in IRR.
    Requested,
    /// The same vector waits already; the two are one from here on.
    Merged,
    /// Vectors 0 to 15 are refused with an "illegal vector" error (SDM vol. 3A, 12.5.2
    /// and 12.5.3).
    Illegal,
}

/// The part of a local APIC that decides what is delivered when
/// (SDM vol. 3A, 12.8.3 to 12.8.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Model {
    /// Requested, not yet delivered.
    pub irr: VectorSet,
    /// Delivered, not yet ended.
    pub isr: VectorSet,
    /// The task priority: CR8 is its bits 7:4.
    pub tpr: u8,
}

impl Model {
    /// After reset: nothing requested, nothing in service, TPR 0.
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

    /// The processor takes an interrupt, with IF = 1: the highest requested one goes
    /// into service, if the PPR lets it through.
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

    /// Writes EOI: the highest in service ends. `None` if there is none, as after an
    /// EOI too many; that has no effect.
    pub const fn eoi(&mut self) -> Option<Vector> {
        let ended = self.isr.highest();
        if let Some(vector) = ended {
            self.isr.remove(vector);
        }
        ended
    }

    /// How many are in service.
    #[must_use]
    pub const fn depth(&self) -> u32 {
        self.isr.len()
    }
}
