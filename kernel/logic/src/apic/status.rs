//! The version, spurious-interrupt vector, error status and logical destination registers of the
//! local APIC.

use crate::registers::{Flags, Names};
use core::fmt;

/// The version register (SDM vol. 3A, 12.4.8, figure 12-7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(pub u32);

impl Version {
    /// Bits 7:0: 10h to 15h for integrated APICs, 0xh for the 82489DX.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0 as u8
    }

    /// The number of LVT entries: bits 23:16 plus 1.
    #[must_use]
    pub const fn lvt_entries(self) -> u16 {
        (self.0 >> 16 & 0xff) as u16 + 1
    }

    /// Bit 24: whether the SVR can suppress EOI broadcasts.
    #[must_use]
    pub const fn can_suppress_eoi_broadcast(self) -> bool {
        self.0 & 1 << 24 != 0
    }

    /// Bit 31, AMD only: there are extended registers from offset 400h (APM vol. 2, 16.3.4).
    #[must_use]
    pub const fn has_extended_registers(self) -> bool {
        self.0 & 1 << 31 != 0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "version {:#04x}, {} LVT entries",
            self.number(),
            self.lvt_entries()
        )?;
        if self.can_suppress_eoi_broadcast() {
            f.write_str(", directed EOI")?;
        }
        Ok(())
    }
}

/// The spurious-interrupt vector register (SDM vol. 3A, 12.9, figure 12-23).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Svr {
    /// Bits 7:0. CPUs before the Pentium 4 hard-wire bits 3:0 to 1.
    pub vector: u8,
    /// Bit 8: the APIC is enabled by software. If clear, all LVT entries are masked.
    pub enabled: bool,
    /// Bit 12: EOIs of level-triggered interrupts are not broadcast to the I/O APICs. Requires
    /// [`Version::can_suppress_eoi_broadcast`].
    pub suppress_eoi_broadcast: bool,
}

impl Svr {
    /// An enabled APIC with this spurious vector.
    #[must_use]
    pub const fn enabled(vector: u8) -> Self {
        Self {
            vector,
            enabled: true,
            suppress_eoi_broadcast: false,
        }
    }

    /// Encodes the register. Bit 9, focus processor checking, is 0: it is reserved in current CPUs.
    #[must_use]
    pub const fn encode(self) -> u32 {
        self.vector as u32 | (self.enabled as u32) << 8 | (self.suppress_eoi_broadcast as u32) << 12
    }

    /// Decodes the register; reserved bits are ignored.
    #[must_use]
    pub const fn decode(value: u32) -> Self {
        Self {
            vector: value as u8,
            enabled: value & 1 << 8 != 0,
            suppress_eoi_broadcast: value & 1 << 12 != 0,
        }
    }
}

/// The error status register (SDM vol. 3A, 12.5.3, figure 12-9).
///
/// `Display`: the value and the names of its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Esr(pub u32);

impl Esr {
    /// The error bits and their names.
    pub const NAMES: Names = &[
        (0, "send-checksum"),
        (1, "receive-checksum"),
        (2, "send-accept"),
        (3, "receive-accept"),
        (4, "redirectable-IPI"),
        (5, "send-illegal-vector"),
        (6, "receive-illegal-vector"),
        (7, "illegal-register-address"),
    ];

    /// Whether no error is reported.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Esr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = Flags {
            value: u64::from(self.0),
            names: Self::NAMES,
            ones_at_rest: 0,
        };
        flags.fmt(f)
    }
}

/// Encodes the xAPIC logical destination register: the logical ID in bits 31:24 (SDM vol. 3A,
/// 12.6.2.2, figure 12-13).
#[must_use]
pub const fn xapic_ldr(logical_id: u8) -> u32 {
    (logical_id as u32) << 24
}

/// Returns the logical ID that the x2APIC derives from an APIC ID and shows in its read-only LDR:
/// the cluster in bits 31:16, one bit of 15:0 for the CPU (SDM vol. 3A, 12.12.10.2).
#[must_use]
pub const fn x2apic_logical_id(id: super::ApicId) -> u32 {
    (id.0 >> 4) << 16 | 1 << (id.0 & 0xf)
}

/// The model of the xAPIC destination format register: bits 31:28; the other bits are ones (SDM
/// vol. 3A, 12.6.2.2, figure 12-14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Dfr {
    /// Flat model: each of the eight bits of a logical ID is a CPU. The value after reset.
    Flat = 0xffff_ffff,
    /// Cluster model: four bits select the cluster, four bits the CPUs in it.
    Cluster = 0x0fff_ffff,
}

impl Dfr {
    /// Encodes the register.
    #[must_use]
    pub const fn encode(self) -> u32 {
        self as u32
    }

    /// Decodes the register; returns `None` for an undefined model.
    #[must_use]
    pub const fn decode(value: u32) -> Option<Self> {
        match value >> 28 {
            0xf => Some(Self::Flat),
            0 => Some(Self::Cluster),
            _ => None,
        }
    }
}
