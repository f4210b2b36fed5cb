//! How far an AP has come on its way up, and whether its clock is the boot CPU's.

use core::fmt;
use core::ops::RangeInclusive;

/// The stages, in order. The numbers stand in memory that AP and boot CPU share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Stage {
    /// Nothing has been heard of it.
    Silent = 0,
    /// Its first instructions have run, in real mode.
    RealMode = 1,
    /// It is in 32-bit protected mode.
    ProtectedMode = 2,
    /// It is in 64-bit mode, with the kernel's page tables.
    LongMode = 3,
    /// It runs the kernel's code on its own stack.
    Kernel = 4,
    /// It has its own GDT and TSS, and the shared IDT.
    Tables = 5,
    /// Its local APIC is set up.
    LocalApic = 6,
    /// It waits for interrupts to go on.
    Ready = 7,
    /// The boot CPU has given up on it; it halts when it notices.
    Abandoned = 8,
}

/// The stages with their names: as the command line has them, and in words.
const NAMES: [(Stage, &str, &str); 9] = [
    (Stage::Silent, "silent", "no sign of life"),
    (Stage::RealMode, "real", "real mode"),
    (Stage::ProtectedMode, "protected", "protected mode"),
    (Stage::LongMode, "long", "long mode"),
    (Stage::Kernel, "kernel", "kernel code"),
    (Stage::Tables, "tables", "descriptor tables"),
    (Stage::LocalApic, "apic", "local APIC"),
    (Stage::Ready, "ready", "ready"),
    (Stage::Abandoned, "abandoned", "abandoned"),
];

impl Stage {
    /// A number that no stage has.
    pub const NEVER: u32 = u32::MAX;

    /// The stage with this number; `None` if none has it.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        NAMES
            .into_iter()
            .map(|(stage, ..)| stage)
            .find(|&stage| stage as u32 == number)
    }

    /// The stage of this name before [`Stage::Ready`]: one that an AP can die at.
    #[must_use]
    pub fn to_die_at(name: &str) -> Option<Self> {
        NAMES
            .into_iter()
            .find(|&(stage, short, _)| stage < Self::Ready && short == name)
            .map(|(stage, ..)| stage)
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = NAMES.into_iter().find(|(stage, ..)| stage == self);
        f.pad(words.map_or("", |(_, _, words)| words))
    }
}

/// How far a CPU's time-stamp counter is off, at least, in cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skew {
    /// It shows less than the boot CPU's.
    Behind(u64),
    /// It shows more.
    Ahead(u64),
}

impl Skew {
    /// The skew of a counter that has shown `shown` at a moment between two at which the boot CPU's has shown
    /// what `between` begins and ends with; `None` if it may have none.
    #[must_use]
    pub fn of(shown: u64, between: RangeInclusive<u64>) -> Option<Self> {
        if shown < *between.start() {
            Some(Self::Behind(between.start() - shown))
        } else if shown > *between.end() {
            Some(Self::Ahead(shown - between.end()))
        } else {
            None
        }
    }
}

/// A CPU that a test wants to fail on its way up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sabotage {
    /// Its number.
    pub cpu: u32,
    /// The last stage it comes to.
    pub stage: Stage,
}

impl Sabotage {
    /// Reads `CPU@STAGE`, such as `2@long`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (cpu, stage) = text.split_once('@')?;
        Some(Self {
            cpu: cpu.parse().ok().filter(|&cpu| cpu > 0)?,
            stage: Stage::to_die_at(stage)?,
        })
    }
}

#[cfg(test)]
mod tests;
