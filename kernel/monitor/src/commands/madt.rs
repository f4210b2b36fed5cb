//! `madt`: the entries of the MADT.

use alloc::string::{String, ToString};
use core::fmt;

use serde::Serialize;
use tocsin_logic::acpi::madt::{
    InterruptFlags, LocalApic, LocalNmi, NmiTarget, Setting, entry_name,
};
use tocsin_logic::acpi::{Error, Located, Madt, Signature, madt::Entry};
use tocsin_logic::topology::{Problem, ProblemKind};

use super::names;
use crate::command::{Arguments, CommandError};
use crate::record::Output;
use tocsin::Machine;

/// The MADT as a whole.
#[derive(Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum MadtRecord {
    Absent,
    Invalid {
        error: String,
    },
    Valid {
        revision: u8,
        length: u32,
        local_apic_address: u32,
        has_8259: bool,
    },
}

impl MadtRecord {
    fn of(madt: Option<&Result<Madt<'_>, Error>>) -> Self {
        match madt {
            None => Self::Absent,
            Some(Err(error)) => Self::Invalid {
                error: error.to_string(),
            },
            Some(Ok(madt)) => Self::Valid {
                revision: madt.header.revision,
                length: madt.header.length,
                local_apic_address: madt.local_apic_address,
                has_8259: madt.has_8259(),
            },
        }
    }
}

impl fmt::Display for MadtRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("There is no MADT."),
            Self::Invalid { error } => f.write_str(error),
            Self::Valid {
                revision,
                length,
                local_apic_address,
                has_8259,
            } => {
                let pics = if *has_8259 { "two 8259s" } else { "no 8259" };
                write!(
                    f,
                    "MADT revision {revision}, {length} bytes, local APICs at \
                     {local_apic_address:#010x}, {pics}"
                )
            }
        }
    }
}

/// The polarity and trigger mode of an entry.
#[derive(Serialize)]
struct FlagsRecord {
    polarity: &'static str,
    trigger: &'static str,
    reserved_bits: u16,
}

impl FlagsRecord {
    fn of(flags: InterruptFlags) -> Self {
        Self {
            polarity: setting(flags.polarity(), names::polarity),
            trigger: setting(flags.trigger(), names::trigger),
            reserved_bits: flags.reserved_bits(),
        }
    }
}

fn setting<T>(setting: Setting<T>, name: fn(T) -> &'static str) -> &'static str {
    match setting {
        Setting::Conforming => "conforming",
        Setting::Explicit(value) => name(value),
        Setting::Reserved => "reserved",
    }
}

/// A CPU, in an entry of type 0 or 9.
#[derive(Serialize)]
struct CpuEntry {
    uid: u32,
    apic_id: u32,
    enabled: bool,
    online_capable: bool,
}

impl CpuEntry {
    fn of(cpu: LocalApic) -> Self {
        Self {
            uid: cpu.uid,
            apic_id: cpu.apic_id.get(),
            enabled: cpu.flags.enabled(),
            online_capable: cpu.flags.online_capable(),
        }
    }
}

/// A LINT pin, in an entry of type 4 or 0Ah.
#[derive(Serialize)]
struct NmiEntry {
    /// The CPU's UID; none for all CPUs.
    uid: Option<u32>,
    lint: u8,
    #[serde(flatten)]
    flags: FlagsRecord,
}

impl NmiEntry {
    fn of(nmi: LocalNmi) -> Self {
        Self {
            uid: match nmi.target {
                NmiTarget::All => None,
                NmiTarget::Uid(uid) => Some(uid),
            },
            lint: nmi.lint,
            flags: FlagsRecord::of(nmi.flags),
        }
    }
}

/// The members of an entry.
#[derive(Serialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
enum EntryMembers {
    LocalApic(CpuEntry),
    IoApic {
        id: u8,
        address: u32,
        gsi_base: u32,
    },
    Override {
        bus: u8,
        irq: u8,
        gsi: u32,
        #[serde(flatten)]
        flags: FlagsRecord,
    },
    NmiSource {
        gsi: u32,
        #[serde(flatten)]
        flags: FlagsRecord,
    },
    LocalApicNmi(NmiEntry),
    LocalApicAddress {
        address: u64,
    },
    LocalX2apic(CpuEntry),
    LocalX2apicNmi(NmiEntry),
    Unknown {
        r#type: u8,
        length: u8,
        name: Option<&'static str>,
    },
    Invalid {
        error: String,
    },
}

impl EntryMembers {
    fn of(entry: Entry) -> Self {
        match entry {
            Entry::LocalApic(cpu) => Self::LocalApic(CpuEntry::of(cpu)),
            Entry::LocalX2Apic(cpu) => Self::LocalX2apic(CpuEntry::of(cpu)),
            Entry::IoApic(io_apic) => Self::IoApic {
                id: io_apic.id,
                address: io_apic.address,
                gsi_base: io_apic.gsi_base.0,
            },
            Entry::Override(entry) => Self::Override {
                bus: entry.bus,
                irq: entry.source,
                gsi: entry.gsi.0,
                flags: FlagsRecord::of(entry.flags),
            },
            Entry::NmiSource(nmi) => Self::NmiSource {
                gsi: nmi.gsi.0,
                flags: FlagsRecord::of(nmi.flags),
            },
            Entry::LocalApicNmi(nmi) => Self::LocalApicNmi(NmiEntry::of(nmi)),
            Entry::LocalX2ApicNmi(nmi) => Self::LocalX2apicNmi(NmiEntry::of(nmi)),
            Entry::LocalApicAddress(address) => Self::LocalApicAddress { address },
            Entry::Unknown { kind, length } => Self::Unknown {
                r#type: kind,
                length,
                name: entry_name(kind),
            },
        }
    }
}

/// An entry.
#[derive(Serialize)]
struct EntryRecord {
    offset: usize,
    #[serde(flatten)]
    members: EntryMembers,
    #[serde(skip)]
    text: String,
}

impl EntryRecord {
    fn of(entry: Result<Located<Entry>, Error>) -> Self {
        match entry {
            Ok(Located { offset, value }) => Self {
                offset,
                members: EntryMembers::of(value),
                text: value.to_string(),
            },
            Err(error) => Self {
                offset: error.offset,
                members: EntryMembers::Invalid {
                    error: error.to_string(),
                },
                text: alloc::format!("skipped: {error}"),
            },
        }
    }
}

impl fmt::Display for EntryRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:#06x}  {}", self.offset, self.text)
    }
}

/// A problem of the table.
#[derive(Serialize)]
struct ProblemRecord {
    problem: &'static str,
    /// Whether it has no consequence.
    is_note: bool,
    /// The offset of the entry, if the problem concerns one entry.
    offset: Option<usize>,
    /// The number of entries, if the problem is that of several.
    entries: Option<u32>,
    description: String,
}

impl ProblemRecord {
    fn of(problem: &Problem) -> Self {
        Self {
            problem: problem.kind.name(),
            is_note: problem.is_note(),
            offset: problem.offset,
            entries: match problem.kind {
                ProblemKind::PaddingEntries { entries } => Some(entries),
                _ => None,
            },
            description: problem.to_string(),
        }
    }
}

impl fmt::Display for ProblemRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = if self.is_note { "note" } else { "problem" };
        write!(f, "  {label}: {}", self.description)
    }
}

pub(super) fn madt(
    machine: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    arguments.end()?;
    let tables = machine.tables.as_ref();
    let bytes = tables.and_then(|tables| tables.get(Signature::MADT));
    let madt = bytes.map(Madt::parse);
    output.print("madt", &MadtRecord::of(madt.as_ref()));
    if let Some(Ok(madt)) = madt {
        show_entries(machine, &madt, output);
    }
    Ok(())
}

fn show_entries(machine: &Machine, madt: &Madt<'_>, output: Output) {
    output.heading("  offset  entry");
    for entry in madt.entries() {
        output.print("madt_entry", &EntryRecord::of(entry));
    }
    for problem in &machine.problems {
        output.print("madt_problem", &ProblemRecord::of(problem));
    }
}
