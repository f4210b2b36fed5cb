//! The entries of a MADT (ACPI, table 5.21 and the sections after it).

use super::{CpuFlags, InterruptFlags};
use crate::acpi::{Gsi, u16_at, u32_at, u64_at};
use crate::apic::ApicId;
use core::fmt;

/// A CPU: an entry of type 0 or 9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalApic {
    /// The ACPI UID of the CPU, by which other entries and AML refer to it.
    pub uid: u32,
    /// The ID of its local APIC.
    pub apic_id: ApicId,
    /// Whether the CPU can be used.
    pub flags: CpuFlags,
}

/// An I/O APIC: an entry of type 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// The ID of the I/O APIC; it may equal the APIC ID of a CPU.
    pub id: u8,
    /// Physical address of the registers.
    pub address: u32,
    /// The GSI of the first pin.
    pub gsi_base: Gsi,
}

/// An interrupt source override: an entry of type 2. The ISA interrupt arrives at another GSI than
/// its own number, or has another polarity or trigger mode than ISA interrupts usually have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Override {
    /// The bus; 0, which is ISA.
    pub bus: u8,
    /// The ISA interrupt, 0 to 15.
    pub source: u8,
    /// The GSI at which the interrupt arrives.
    pub gsi: Gsi,
    /// The polarity and trigger mode.
    pub flags: InterruptFlags,
}

/// A GSI to be delivered as NMI: an entry of type 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NmiSource {
    /// The polarity and trigger mode.
    pub flags: InterruptFlags,
    /// The GSI.
    pub gsi: Gsi,
}

/// The CPUs of a local APIC NMI entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NmiTarget {
    /// All CPUs: the UID is all ones, in 8 bits (type 4) or 32 bits (type 0Ah).
    All,
    /// The CPU with this ACPI UID.
    Uid(u32),
}

impl fmt::Display for NmiTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all CPUs"),
            Self::Uid(uid) => write!(f, "UID {uid}"),
        }
    }
}

/// A LINT pin to which NMI is wired: an entry of type 4 or 0Ah.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalNmi {
    /// The CPUs whose pin it is.
    pub target: NmiTarget,
    /// The polarity and trigger mode.
    pub flags: InterruptFlags,
    /// The number of the LINT pin: 0 or 1.
    pub lint: u8,
}

/// A MADT entry.
///
/// `Display`: the contents on one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Type 0: a CPU with an 8-bit APIC ID.
    LocalApic(LocalApic),
    /// Type 1: an I/O APIC.
    IoApic(IoApic),
    /// Type 2: an interrupt source override.
    Override(Override),
    /// Type 3: an NMI source.
    NmiSource(NmiSource),
    /// Type 4: a local APIC NMI with an 8-bit UID.
    LocalApicNmi(LocalNmi),
    /// Type 5: the 64-bit physical address of the local APIC page.
    LocalApicAddress(u64),
    /// Type 9: a CPU with a 32-bit APIC ID.
    LocalX2Apic(LocalApic),
    /// Type 0Ah: a local APIC NMI with a 32-bit UID.
    LocalX2ApicNmi(LocalNmi),
    /// Any other type. The kernel ignores it.
    Unknown {
        /// The type; [`entry_name`] returns its name, if it has one.
        kind: u8,
        /// The length in bytes.
        length: u8,
    },
}

impl Entry {
    /// The minimum length of an entry of this type, in bytes.
    pub(super) const fn needed(kind: u8) -> u8 {
        match kind {
            0 | 3 => 8,
            1 | 5 | 0x0a => 12,
            2 => 10,
            4 => 6,
            9 => 16,
            _ => 2,
        }
    }

    /// Reads an entry; returns `None` if `bytes` is too short for its type.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let &[kind, length] = bytes.first_chunk()?;
        let byte = |offset| bytes.get(offset).copied();
        let flags = |offset| u16_at(bytes, offset).map(InterruptFlags);
        Some(match kind {
            0 => Self::LocalApic(LocalApic {
                uid: byte(2)?.into(),
                apic_id: ApicId(byte(3)?.into()),
                flags: CpuFlags(u32_at(bytes, 4)?),
            }),
            1 => Self::IoApic(IoApic {
                id: byte(2)?,
                address: u32_at(bytes, 4)?,
                gsi_base: Gsi(u32_at(bytes, 8)?),
            }),
            2 => Self::Override(Override {
                bus: byte(2)?,
                source: byte(3)?,
                gsi: Gsi(u32_at(bytes, 4)?),
                flags: flags(8)?,
            }),
            3 => Self::NmiSource(NmiSource {
                flags: flags(2)?,
                gsi: Gsi(u32_at(bytes, 4)?),
            }),
            4 => Self::LocalApicNmi(LocalNmi {
                target: match byte(2)? {
                    0xff => NmiTarget::All,
                    uid => NmiTarget::Uid(uid.into()),
                },
                flags: flags(3)?,
                lint: byte(5)?,
            }),
            5 => Self::LocalApicAddress(u64_at(bytes, 4)?),
            9 => Self::LocalX2Apic(LocalApic {
                apic_id: ApicId(u32_at(bytes, 4)?),
                flags: CpuFlags(u32_at(bytes, 8)?),
                uid: u32_at(bytes, 12)?,
            }),
            // The last three bytes are reserved, but are part of the entry.
            0x0a if bytes.len() >= 12 => Self::LocalX2ApicNmi(LocalNmi {
                flags: flags(2)?,
                target: match u32_at(bytes, 4)? {
                    0xffff_ffff => NmiTarget::All,
                    uid => NmiTarget::Uid(uid),
                },
                lint: byte(8)?,
            }),
            0x0a => return None,
            _ => Self::Unknown { kind, length },
        })
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalApic(cpu) => write!(f, "local APIC: {cpu}"),
            Self::LocalX2Apic(cpu) => write!(f, "local x2APIC: {cpu}"),
            Self::IoApic(io) => write!(
                f,
                "I/O APIC: ID {:#04x}, address {:#010x}, GSIs from {}",
                io.id, io.address, io.gsi_base
            ),
            Self::Override(o) => write!(
                f,
                "override: bus {} IRQ {} is GSI {}, {}",
                o.bus, o.source, o.gsi, o.flags
            ),
            Self::NmiSource(nmi) => write!(f, "NMI source: GSI {}, {}", nmi.gsi, nmi.flags),
            Self::LocalApicNmi(nmi) => write!(f, "local APIC NMI: {nmi}"),
            Self::LocalX2ApicNmi(nmi) => write!(f, "local x2APIC NMI: {nmi}"),
            Self::LocalApicAddress(address) => {
                write!(f, "local APIC address: {address:#x}")
            }
            Self::Unknown { kind, length } => {
                write!(f, "skipped: type {kind:#04x}, {length} bytes")?;
                match entry_name(*kind) {
                    Some(name) => write!(f, " ({name})"),
                    None => Ok(()),
                }
            }
        }
    }
}

impl fmt::Display for LocalApic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UID {}, APIC ID {}", self.uid, self.apic_id)?;
        f.write_str(if self.flags.enabled() {
            ", enabled"
        } else {
            ", not enabled"
        })?;
        if self.flags.online_capable() {
            f.write_str(", online-capable")?;
        }
        Ok(())
    }
}

impl fmt::Display for LocalNmi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, LINT{}, {}", self.target, self.lint, self.flags)
    }
}

/// Returns the name of an entry type; `None` for types that ACPI 6.5 does not define.
#[must_use]
pub const fn entry_name(kind: u8) -> Option<&'static str> {
    Some(match kind {
        0x00 => "local APIC",
        0x01 => "I/O APIC",
        0x02 => "interrupt source override",
        0x03 => "NMI source",
        0x04 => "local APIC NMI",
        0x05 => "local APIC address override",
        0x06 => "I/O SAPIC",
        0x07 => "local SAPIC",
        0x08 => "platform interrupt sources",
        0x09 => "local x2APIC",
        0x0a => "local x2APIC NMI",
        0x0b => "GIC CPU interface",
        0x0c => "GIC distributor",
        0x0d => "GIC MSI frame",
        0x0e => "GIC redistributor",
        0x0f => "GIC interrupt translation service",
        0x10 => "multiprocessor wakeup",
        0x11 => "core interrupt controller",
        0x12 => "legacy I/O interrupt controller",
        0x13 => "HyperTransport interrupt controller",
        0x14 => "extended I/O interrupt controller",
        0x15 => "MSI interrupt controller",
        0x16 => "bridge I/O interrupt controller",
        0x17 => "LPC interrupt controller",
        0x80.. => "the maker's own",
        _ => return None,
    })
}
