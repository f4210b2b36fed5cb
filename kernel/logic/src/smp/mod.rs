//! CPU bring-up: stages, test options, broadcast IPIs, the wait after INIT, TSC offsets.

use core::fmt;

mod broadcast;
mod init;
mod tsc;

pub use broadcast::{Broadcast, Census, Unowned};
pub use init::init_wait;
pub use tsc::{Offset, Outcome, Synced, synchronize};

/// The stages, in order. AP and boot CPU exchange the numbers in shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Stage {
    /// The AP has not reported anything.
    Silent = 0,
    /// It is in 32-bit protected mode, and has claimed its slot by its APIC ID.
    ProtectedMode = 1,
    /// It is in 64-bit mode, with the kernel's page tables.
    LongMode = 2,
    /// It runs the kernel's code on its own stack.
    Kernel = 3,
    /// It has its own GDT and TSS, and the shared IDT.
    Tables = 4,
    /// Its local APIC is set up.
    LocalApic = 5,
    /// It waits at the barrier until interrupts are released.
    Ready = 6,
    /// The boot CPU has abandoned it. Final: the CPU halts at its next transition.
    Abandoned = 7,
}

/// The stages with their names on the command line and their descriptions.
const NAMES: [(Stage, &str, &str); 8] = [
    (Stage::Silent, "silent", "no response"),
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
    pub const NEVER: u8 = u8::MAX;

    /// The stage with this number; `None` if none has it.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        NAMES
            .into_iter()
            .map(|(stage, ..)| stage)
            .find(|&stage| stage as u32 == number)
    }

    /// The stage of this name before [`Stage::Ready`].
    #[must_use]
    pub fn before_ready(name: &str) -> Option<Self> {
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

/// The value of the test options `failcpu=` and `latecpu=`: an AP and a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InjectedFault {
    /// The number of the AP.
    pub cpu: u32,
    /// `failcpu=`: the last stage that it reaches. `latecpu=`: the stage that it attempts only
    /// after it has been abandoned.
    pub stage: Stage,
}

impl InjectedFault {
    /// Reads `CPU@STAGE`, such as `2@long`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (cpu, stage) = text.split_once('@')?;
        Some(Self {
            cpu: cpu.parse().ok().filter(|&cpu| cpu > 0)?,
            stage: Stage::before_ready(stage)?,
        })
    }

    /// Reads `CPU@STAGE` of `latecpu=`: any stage after the claim of the slot.
    #[must_use]
    pub fn parse_late(text: &str) -> Option<Self> {
        Self::parse(text).filter(|late| late.stage > Stage::ProtectedMode)
    }
}

#[cfg(test)]
mod tests;
