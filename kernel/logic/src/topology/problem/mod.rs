//! Problems found in a MADT: conflicts, omissions and doubtful entries.

use super::Lint;
use crate::acpi::madt::{InterruptFlags, NmiTarget};
use crate::acpi::{Error, Gsi};
use crate::apic::ApicId;
use arrayvec::ArrayVec;
use core::fmt;
use core::mem::discriminant;

mod text;

/// A problem, with its location.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The offset of the entry in the MADT, in bytes; `None` for a problem that does not concern a
    /// single entry.
    pub offset: Option<usize>,
    /// The kind.
    pub kind: ProblemKind,
}

impl Problem {
    pub(super) const fn at(offset: usize, kind: ProblemKind) -> Self {
        Self {
            offset: Some(offset),
            kind,
        }
    }

    pub(super) const fn general(kind: ProblemKind) -> Self {
        Self { offset: None, kind }
    }

    /// Whether it is only a note: it has no consequence, and valid tables have it too.
    #[must_use]
    pub const fn is_note(&self) -> bool {
        matches!(
            self.kind,
            ProblemKind::Skipped { .. }
                | ProblemKind::CpuInBothForms { .. }
                | ProblemKind::PaddingEntries { .. }
                | ProblemKind::NmiDiffers { .. }
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.offset) {
            // Its message contains the prefix.
            (ProblemKind::Entry(_), _) => {}
            (_, Some(offset)) => write!(f, "MADT: entry at offset {offset:#x}: ")?,
            (_, None) => f.write_str("MADT: ")?,
        }
        self.kind.fmt(f)
    }
}

/// The kind of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// An entry cannot be read.
    Entry(Error),
    /// An entry is of a type that is not used here.
    Skipped {
        /// Its type.
        kind: u8,
        /// Its length in bytes.
        length: u8,
    },
    /// A type 5 entry gives an impossible address, or one that differs from that of an earlier
    /// entry. It is ignored.
    LocalApicAddress {
        /// The address.
        address: u64,
    },
    /// A CPU is in the table in both forms, types 0 and 9. It counts once.
    CpuInBothForms {
        /// The CPU.
        apic_id: ApicId,
    },
    /// An APIC ID is enabled a second time. The entry is ignored.
    DuplicateApicId {
        /// The ID.
        apic_id: ApicId,
        /// The second entry's UID.
        uid: u32,
    },
    /// Entries for CPUs that cannot be started repeat an earlier one: firmware pads the table with
    /// them. They are ignored; a CPU that another entry enables counts as enabled.
    PaddingEntries {
        /// Number of entries.
        entries: u32,
    },
    /// Two CPUs have the same UID. Entries with this UID apply to both.
    DuplicateUid {
        /// The UID.
        uid: u32,
    },
    /// An enabled CPU has the broadcast ID. The entry is ignored.
    BroadcastApicId {
        /// The ID: all ones, in 8 bits (type 0) or 32 (type 9).
        apic_id: ApicId,
    },
    /// The boot CPU is not in the table as an enabled CPU. It is added without a UID.
    BspMissing {
        /// Its APIC ID.
        apic_id: ApicId,
    },
    /// There are more CPUs than [`MAX_CPUS`](super::MAX_CPUS). The excess CPUs are dropped.
    TooManyCpus {
        /// Number of dropped CPUs that could be started.
        enabled: u32,
        /// Number of other dropped CPUs.
        others: u32,
    },
    /// CPUs that xAPIC mode cannot address are not used.
    Unreachable {
        /// Number of CPUs.
        cpus: u32,
    },
    /// An I/O APIC's address is 0 or not aligned to 16 bytes. It is ignored.
    IoApicAddress {
        /// The address.
        address: u32,
    },
    /// An I/O APIC has the same registers or the same first GSI as an earlier one. It is ignored.
    DuplicateIoApic {
        /// Its address.
        address: u32,
        /// Its first GSI.
        gsi_base: Gsi,
    },
    /// Two I/O APICs have the same ID. Their addresses still distinguish them.
    DuplicateIoApicId {
        /// The ID.
        id: u8,
    },
    /// There are more I/O APICs than [`MAX_IO_APICS`](super::MAX_IO_APICS). This one is ignored.
    TooManyIoApics,
    /// The first GSI of an I/O APIC is among the GSIs of another one. GSIs that both have belong to
    /// the one with the higher first GSI; the other's pins cannot be used.
    GsiOverlap {
        /// The first GSI of the lower I/O APIC.
        gsi_base: Gsi,
        /// Its pins.
        pins: u8,
        /// The first GSI of the higher I/O APIC.
        next: Gsi,
    },
    /// An I/O APIC has more pins than there are GSIs from its first one to the last, 2^32 - 1. The
    /// excess pins cannot be used.
    GsiEnd {
        /// Its first GSI.
        gsi_base: Gsi,
        /// Its pins.
        pins: u8,
    },
    /// An override is for a bus other than ISA. It is ignored.
    OverrideBus {
        /// The bus.
        bus: u8,
    },
    /// An override is for an ISA interrupt above 15. It is ignored.
    OverrideSource {
        /// The interrupt.
        source: u8,
    },
    /// An ISA interrupt is overridden a second time. The entry is ignored.
    DuplicateOverride {
        /// The interrupt.
        source: u8,
    },
    /// Two ISA interrupts are overridden to one GSI. Both share it.
    SharedGsi {
        /// The GSI.
        gsi: Gsi,
    },
    /// No I/O APIC has the GSI of an override. The interrupt cannot be used.
    OverrideWithoutInput {
        /// The ISA interrupt.
        source: u8,
        /// The GSI.
        gsi: Gsi,
    },
    /// No I/O APIC has the GSI of an NMI source. It is not used.
    NmiSourceWithoutInput {
        /// The GSI.
        gsi: Gsi,
    },
    /// An earlier entry lists the GSI as an NMI source. The entry is ignored.
    DuplicateNmiSource {
        /// The GSI.
        gsi: Gsi,
    },
    /// There are more NMI sources than [`MAX_NMI_SOURCES`](super::MAX_NMI_SOURCES). This one is
    /// ignored.
    TooManyNmiSources,
    /// Polarity or trigger mode has the reserved value 2, or a reserved bit is set. The reserved
    /// fields are replaced by the values of the bus; in an NMI entry, all fields are.
    ReservedFlags {
        /// The flags.
        flags: InterruptFlags,
    },
    /// A local NMI is at a pin above LINT1. The entry is ignored.
    NmiPin {
        /// The number of the pin.
        lint: u8,
    },
    /// A local NMI is at LINT0, to which a machine with 8259s connects their output. The entry is
    /// ignored.
    NmiAtExtInt {
        /// The CPUs that the entry is for.
        target: NmiTarget,
    },
    /// A local NMI is for a UID that no CPU has. The entry is ignored.
    NmiUid {
        /// The UID.
        uid: u32,
    },
    /// Two entries for the same CPUs have different flags. The first counts.
    NmiConflict {
        /// The CPUs that both entries are for.
        target: NmiTarget,
        /// The pin.
        lint: Lint,
        /// The flags that apply.
        first: InterruptFlags,
        /// The flags that are ignored.
        second: InterruptFlags,
    },
    /// A CPU's own NMI entry has flags that differ from those of the entry for all CPUs. Its own
    /// apply.
    NmiDiffers {
        /// The CPU's UID.
        uid: u32,
        /// The pin.
        lint: Lint,
        /// Its own flags.
        own: InterruptFlags,
        /// The flags for all.
        all: InterruptFlags,
    },
}

/// Maximum number of problems kept.
const MAX_PROBLEMS: usize = 64;
/// Maximum number of problems of one kind that are kept, so that a table with many equal mistakes
/// leaves room for others.
const MAX_PER_KIND: usize = 8;

/// The problems, in the order in which they were found.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    list: ArrayVec<Problem, MAX_PROBLEMS>,
    dropped: usize,
    dropped_notes: usize,
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        let kind = discriminant(&problem.kind);
        let alike = |other: &&Problem| discriminant(&other.kind) == kind;
        let has_room = self.list.iter().filter(alike).count() < MAX_PER_KIND;
        if !has_room || self.list.try_push(problem).is_err() {
            let counter = if problem.is_note() {
                &mut self.dropped_notes
            } else {
                &mut self.dropped
            };
            *counter += 1;
        }
    }

    /// The problems that are kept: at most 8 of each kind.
    pub fn iter(&self) -> core::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// Whether there is no problem.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Number of problems that were not kept, without [notes](Problem::is_note).
    #[must_use]
    pub const fn dropped(&self) -> usize {
        self.dropped
    }

    /// Number of notes that were not kept.
    #[must_use]
    pub const fn dropped_notes(&self) -> usize {
        self.dropped_notes
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = core::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
