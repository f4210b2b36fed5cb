//! The names of the problems, for programs, and their messages, for the boot log.

use super::ProblemKind;
use crate::acpi::madt::entry_name;
use crate::topology::{MAX_CPUS, MAX_IO_APICS, MAX_NMI_SOURCES};
use core::fmt;

impl ProblemKind {
    /// An identifier of the kind, for programs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Entry(_) => "entry",
            Self::Skipped { .. } => "skipped",
            Self::LocalApicAddress { .. } => "local_apic_address",
            Self::CpuInBothForms { .. } => "cpu_in_both_forms",
            Self::DuplicateApicId { .. } => "duplicate_apic_id",
            Self::PaddingEntries { .. } => "padding_entries",
            Self::DuplicateUid { .. } => "duplicate_uid",
            Self::BroadcastApicId { .. } => "broadcast_apic_id",
            Self::BspMissing { .. } => "bsp_missing",
            Self::TooManyCpus { .. } => "too_many_cpus",
            Self::Unreachable { .. } => "unreachable",
            Self::IoApicAddress { .. } => "io_apic_address",
            Self::DuplicateIoApic { .. } => "duplicate_io_apic",
            Self::DuplicateIoApicId { .. } => "duplicate_io_apic_id",
            Self::TooManyIoApics => "too_many_io_apics",
            Self::GsiOverlap { .. } => "gsi_overlap",
            Self::GsiEnd { .. } => "gsi_end",
            Self::OverrideBus { .. } => "override_bus",
            Self::OverrideSource { .. } => "override_source",
            Self::DuplicateOverride { .. } => "duplicate_override",
            Self::SharedGsi { .. } => "shared_gsi",
            Self::OverrideWithoutInput { .. } => "override_without_input",
            Self::NmiSourceWithoutInput { .. } => "nmi_source_without_input",
            Self::DuplicateNmiSource { .. } => "duplicate_nmi_source",
            Self::TooManyNmiSources => "too_many_nmi_sources",
            Self::ReservedFlags { .. } => "reserved_flags",
            Self::NmiPin { .. } => "nmi_pin",
            Self::NmiAtExtInt { .. } => "nmi_at_ext_int",
            Self::NmiUid { .. } => "nmi_uid",
            Self::NmiConflict { .. } => "nmi_conflict",
            Self::NmiDiffers { .. } => "nmi_differs",
        }
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Entry(error) => error.fmt(f),
            Self::Skipped { kind, length } => {
                write!(f, "type {kind:#04x}, {length} bytes, skipped")?;
                match entry_name(kind) {
                    Some(name) => write!(f, ": {name}"),
                    None => Ok(()),
                }
            }
            Self::LocalApicAddress { address } => {
                write!(f, "the local APICs cannot be at {address:#x} (ignored)")
            }
            Self::ReservedFlags { flags } => {
                write!(f, "{flags} (the bus default applies)")
            }
            _ => {
                self.fmt_cpu(f)?;
                self.fmt_io(f)?;
                self.fmt_nmi(f)
            }
        }
    }
}

impl ProblemKind {
    /// The message of problems that concern CPUs.
    fn fmt_cpu(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CpuInBothForms { apic_id } => write!(
                f,
                "APIC ID {apic_id} is listed as local APIC and as local x2APIC (one CPU)"
            ),
            Self::DuplicateApicId { apic_id, uid } => write!(
                f,
                "APIC ID {apic_id} is already listed (the entry with UID {uid} is ignored)"
            ),
            Self::PaddingEntries { entries } => write!(
                f,
                "{entries} entries that are not enabled repeat an earlier one (ignored)"
            ),
            Self::DuplicateUid { uid } => {
                write!(f, "UID {uid} already belongs to another CPU")
            }
            Self::BroadcastApicId { apic_id } => {
                write!(f, "APIC ID {apic_id} is the broadcast ID (ignored)")
            }
            Self::BspMissing { apic_id } => write!(
                f,
                "the boot CPU, APIC ID {apic_id}, is not listed as enabled (added)"
            ),
            Self::TooManyCpus { enabled, others } => write!(
                f,
                "more than {MAX_CPUS} CPUs: {enabled} enabled and {others} others are left out"
            ),
            Self::Unreachable { cpus } => write!(
                f,
                "{cpus} CPUs with APIC IDs above 254 are left out (xapic mode cannot address them)"
            ),
            _ => Ok(()),
        }
    }

    /// The message of problems that concern NMIs.
    fn fmt_nmi(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NmiSourceWithoutInput { gsi } => {
                write!(f, "NMI source GSI {gsi}: no I/O APIC has it")
            }
            Self::DuplicateNmiSource { gsi } => {
                write!(f, "NMI source GSI {gsi} is already listed (ignored)")
            }
            Self::TooManyNmiSources => {
                write!(f, "more than {MAX_NMI_SOURCES} NMI sources (ignored)")
            }
            Self::NmiPin { lint } => write!(f, "there is no pin LINT{lint} (ignored)"),
            Self::NmiAtExtInt { target } => write!(
                f,
                "NMI of {target} at LINT0, which is the 8259s' input (ignored)"
            ),
            Self::NmiUid { uid } => write!(f, "no CPU has UID {uid} (ignored)"),
            Self::NmiConflict {
                target,
                lint,
                first,
                second,
            } => write!(
                f,
                "NMI of {target} at {lint}: {second} (an earlier entry applies: {first})"
            ),
            Self::NmiDiffers {
                uid,
                lint,
                own,
                all,
            } => write!(
                f,
                "NMI of UID {uid} at {lint}: {own}, unlike {all} of all CPUs (its own flags apply)"
            ),
            _ => Ok(()),
        }
    }

    /// The message of problems that concern I/O APICs and overrides.
    fn fmt_io(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::IoApicAddress { address } => {
                write!(f, "an I/O APIC cannot be at {address:#x} (ignored)")
            }
            Self::DuplicateIoApic {
                address, gsi_base, ..
            } => write!(
                f,
                "I/O APIC at {address:#x}, GSI {gsi_base}: an earlier one has registers or GSI (ignored)"
            ),
            Self::DuplicateIoApicId { id } => {
                write!(f, "I/O APIC ID {id:#04x} is that of an earlier one")
            }
            Self::TooManyIoApics => {
                write!(f, "more than {MAX_IO_APICS} I/O APICs (ignored)")
            }
            Self::GsiOverlap {
                gsi_base,
                pins,
                next,
            } => write!(
                f,
                "the I/O APIC at GSI {gsi_base} has {pins} pins, but another begins at GSI {next} \
                 (the latter has the GSIs of both)"
            ),
            Self::GsiEnd { gsi_base, pins } => write!(
                f,
                "the I/O APIC at GSI {gsi_base} has {pins} pins, of which {} are beyond the last GSI (not used)",
                u64::from(gsi_base.0) + u64::from(pins) - (1 << 32)
            ),
            Self::OverrideBus { bus } => {
                write!(f, "an override for bus {bus}, which is not ISA (ignored)")
            }
            Self::OverrideSource { source } => {
                write!(f, "there is no ISA IRQ {source} to override (ignored)")
            }
            Self::DuplicateOverride { source } => {
                write!(f, "ISA IRQ {source} is already overridden (ignored)")
            }
            Self::SharedGsi { gsi } => {
                write!(f, "another ISA IRQ is overridden to GSI {gsi} too")
            }
            Self::OverrideWithoutInput { source, gsi } => {
                write!(f, "ISA IRQ {source} is GSI {gsi}, which no I/O APIC has")
            }
            _ => Ok(()),
        }
    }
}
