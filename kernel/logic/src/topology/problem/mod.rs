//! What had to be decided, left out or doubted in reading a MADT.

use super::Lint;
use crate::acpi::madt::{InterruptFlags, NmiTarget};
use crate::acpi::{Error, Gsi};
use crate::apic::ApicId;
use crate::kept::Kept;
use core::fmt;

mod words;

/// Something wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the entry stands in the MADT, in bytes; `None` for what is not about
    /// one entry.
    pub offset: Option<usize>,
    /// What.
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

    /// Whether it is only noted: nothing is lost by it, and sound tables have it too.
    #[must_use]
    pub const fn is_note(&self) -> bool {
        matches!(
            self.kind,
            ProblemKind::Skipped { .. }
                | ProblemKind::CpuInBothForms { .. }
                | ProblemKind::NmiDiffers { .. }
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.kind, self.offset) {
            // Has the prefix itself.
            (ProblemKind::Entry(_), _) => {}
            (_, Some(offset)) => write!(f, "MADT: entry at offset {offset:#x}: ")?,
            (_, None) => f.write_str("MADT: ")?,
        }
        self.kind.fmt(f)
    }
}

/// What can be wrong.
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
    /// A type 5 entry gives an impossible address, or another one than an earlier
    /// entry did. It is ignored.
    LocalApicAddress {
        /// The address.
        address: u64,
    },
    /// A CPU stands in the table in both forms, types 0 and 9. It counts once.
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
    /// A CPU is enabled in one entry and not in another. It counts as enabled.
    AlsoNotEnabled {
        /// The CPU.
        apic_id: ApicId,
    },
    /// Two CPUs have one UID. Entries that name it are for both.
    DuplicateUid {
        /// The UID.
        uid: u32,
    },
    /// An enabled CPU has the ID that addresses all. The entry is ignored.
    BroadcastApicId {
        /// The ID: all ones, in 8 bits (type 0) or 32 (type 9).
        apic_id: ApicId,
    },
    /// The boot CPU is not in the table as an enabled CPU. It is added without a UID.
    BspMissing {
        /// Its APIC ID.
        apic_id: ApicId,
    },
    /// There are more CPUs than [`MAX_CPUS`](super::MAX_CPUS). These are left out.
    TooManyCpus {
        /// How many that could be started.
        enabled: u32,
        /// How many others.
        others: u32,
    },
    /// CPUs that xAPIC mode cannot address are left out.
    Unreachable {
        /// How many.
        cpus: u32,
    },
    /// An I/O APIC's address is 0 or not aligned to 16 bytes. It is ignored.
    IoApicAddress {
        /// The address.
        address: u32,
    },
    /// An I/O APIC has the address or the first GSI of an earlier one. It is ignored.
    DuplicateIoApic {
        /// Its address.
        address: u32,
        /// Its first GSI.
        gsi_base: Gsi,
    },
    /// Two I/O APICs have one ID. They can still be told apart by address.
    DuplicateIoApicId {
        /// The ID.
        id: u8,
    },
    /// There are more I/O APICs than [`MAX_IO_APICS`](super::MAX_IO_APICS). This one is ignored.
    TooManyIoApics,
    /// An I/O APIC has more pins than there are GSIs up to the next one's first.
    /// Those above cannot be used.
    GsiOverlap {
        /// Its first GSI.
        gsi_base: Gsi,
        /// Its pins.
        pins: u8,
        /// The first GSI of the next one.
        next: Gsi,
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
    OverrideNowhere {
        /// The ISA interrupt.
        source: u8,
        /// The GSI.
        gsi: Gsi,
    },
    /// No I/O APIC has the GSI of an NMI source. It is not used.
    NmiSourceNowhere {
        /// The GSI.
        gsi: Gsi,
    },
    /// There are more NMI sources than [`MAX_NMI_SOURCES`](super::MAX_NMI_SOURCES). This one is ignored.
    TooManyNmiSources,
    /// Polarity or trigger mode is 2, which is reserved. It is taken as that of
    /// the bus.
    ReservedFlags {
        /// The flags.
        flags: InterruptFlags,
    },
    /// A local NMI is at a pin above LINT1. The entry is ignored.
    NmiPin {
        /// The number of the pin.
        lint: u8,
    },
    /// A local NMI is for a UID that no CPU has. The entry is ignored.
    NmiUid {
        /// The UID.
        uid: u32,
    },
    /// Two entries for the same CPUs have different flags. The first counts.
    NmiTwice {
        /// Whom both are for.
        target: NmiTarget,
        /// The pin.
        lint: Lint,
        /// The flags that count.
        first: InterruptFlags,
        /// The flags that do not.
        second: InterruptFlags,
    },
    /// A CPU's own NMI entry has other flags than the one for all CPUs. Its own
    /// counts.
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

/// The problems found, in the order of finding.
pub type Problems = Kept<Problem, 64>;
