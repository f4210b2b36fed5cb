//! Interrupt vectors and their priority classes.
//!
//! A vector is the CPU's number for an event, 0 to 255. It differs from a GSI and from an I/O APIC
//! pin. Each of these has its own type, so that they cannot be confused.

use core::fmt;
use core::ops::RangeInclusive;

pub mod fixed;
#[cfg(test)]
mod tests;

/// The CPU's number of an interrupt or exception, 0 to 255.
///
/// Every value is a valid index into the IDT. The architecture reserves 0 to 31 (SDM vol. 3A, 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vector(pub u8);

impl Vector {
    /// The vector with this number.
    #[must_use]
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Its interrupt-priority class: bits 7:4 (SDM vol. 3A, 12.8.3).
    #[must_use]
    pub const fn priority_class(self) -> PriorityClass {
        PriorityClass(self.0 >> 4)
    }
}

impl fmt::Display for Vector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

/// An interrupt-priority class, 0 to 15: each has sixteen vectors, and a higher class preempts a
/// lower one (SDM vol. 3A, 12.8.3).
///
/// The same numbers are the values of CR8 and of bits 7:4 of the TPR: an interrupt is masked unless
/// its class is above that value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PriorityClass(u8);

impl PriorityClass {
    /// The lowest class: masks no interrupts when written to CR8.
    pub const LOWEST: Self = Self(0);
    /// The lowest class that an interrupt can have. Vectors 0 to 15 are illegal for the local APIC,
    /// and 16 to 31 are reserved for exceptions (SDM vol. 3A, 12.5.2, 12.8.3), which excludes
    /// classes 0 and 1.
    pub const LOWEST_USABLE: Self = Self(2);
    /// The highest class: masks every maskable interrupt when written to CR8.
    pub const HIGHEST: Self = Self(15);

    /// The class with this number, or `None` above 15.
    #[must_use]
    pub const fn new(number: u8) -> Option<Self> {
        if number <= 15 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number, 0 to 15.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether interrupts can have this class (2 to 15).
    #[must_use]
    pub const fn is_usable(self) -> bool {
        self.0 >= Self::LOWEST_USABLE.0
    }

    /// The numbers of its sixteen vectors.
    #[must_use]
    pub const fn vectors(self) -> RangeInclusive<u8> {
        self.0 << 4..=self.0 << 4 | 0xf
    }
}

impl fmt::Display for PriorityClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}
