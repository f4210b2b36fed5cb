//! Whether an IPI to all CPUs may use a destination shorthand of the ICR.
//!
//! The shorthands "all including self" and "all excluding self" (SDM vol. 3A, 12.6.1) reach every
//! local APIC of the machine, not only those of the CPUs that the kernel has started. A CPU that
//! firmware still owns, that was left out or added later, or that failed in bring-up would take the
//! interrupt without an IDT. So shorthands are used only if every CPU that can be present is
//! online.

use core::fmt;

/// The CPUs that can be present but are not online.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PossibleCpus {
    /// Whether the firmware's list may be incomplete: no MADT, unreadable entries, or no entry for
    /// the boot CPU.
    pub is_incomplete: bool,
    /// CPUs that did not start.
    pub failed: usize,
    /// CPUs that are present, but were left out: by `maxcpus=`, by xAPIC mode, or by the table's
    /// size.
    pub left_out: usize,
    /// CPUs that may be added while the system runs.
    pub addable: usize,
}

/// How an IPI to all CPUs is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broadcast {
    /// One write to the ICR, with a destination shorthand.
    Shorthand,
    /// One write for each online CPU, with its APIC ID, for this reason.
    EachCpu(Unowned),
}

/// The reason for which shorthands would reach CPUs that the kernel does not own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unowned {
    /// The list of CPUs may be incomplete.
    Incomplete,
    /// This number of CPUs did not start.
    Failed(usize),
    /// This number of CPUs was left out.
    LeftOut(usize),
    /// This number of CPUs may be added later.
    Addable(usize),
}

impl Broadcast {
    /// Chooses the method by the CPUs that are not online.
    #[must_use]
    pub const fn choose(cpus: PossibleCpus) -> Self {
        match cpus {
            PossibleCpus { failed: 1.., .. } => Self::EachCpu(Unowned::Failed(cpus.failed)),
            PossibleCpus { left_out: 1.., .. } => Self::EachCpu(Unowned::LeftOut(cpus.left_out)),
            PossibleCpus { addable: 1.., .. } => Self::EachCpu(Unowned::Addable(cpus.addable)),
            PossibleCpus {
                is_incomplete: true,
                ..
            } => Self::EachCpu(Unowned::Incomplete),
            _ => Self::Shorthand,
        }
    }
}

impl fmt::Display for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shorthand => f.write_str("by destination shorthand (every CPU is online)"),
            Self::EachCpu(reason) => write!(f, "to each online CPU in turn ({reason})"),
        }
    }
}

impl fmt::Display for Unowned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, one, more) = match *self {
            Self::Incomplete => return f.write_str("firmware's list of CPUs may be incomplete"),
            Self::Failed(count) => (count, "CPU did not start", "CPUs did not start"),
            Self::LeftOut(count) => (count, "CPU was left out", "CPUs were left out"),
            Self::Addable(count) => (count, "CPU may be added", "CPUs may be added"),
        };
        write!(f, "{count} {}", if count == 1 { one } else { more })
    }
}
