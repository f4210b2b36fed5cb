//! Names of the bits of RFLAGS, CR0, CR4 and DR6, and the registers of CPUID.

use core::fmt;

#[cfg(test)]
mod tests;

/// EAX, EBX, ECX and EDX of a CPUID leaf.
pub type Cpuid = (u32, u32, u32, u32);

/// Bit numbers and their names.
pub type Names = &'static [(u8, &'static str)];

/// A register value, displayed with the names of its bits, lowest first.
///
/// `Display`: `0x00010246 PF ZF IF RF`. A set bit without a name is displayed as `bit 40`, so that
/// no set bit is hidden.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    /// The register's value.
    pub value: u64,
    /// The names of the bits.
    pub names: Names,
    /// The active-low bits: they are 1 when they report nothing. The name of such a bit is
    /// displayed when the bit is 0.
    pub ones_at_rest: u64,
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.value)?;
        let shown = self.value ^ self.ones_at_rest;
        for bit in (0..64).filter(|&bit| shown >> bit & 1 != 0) {
            match self.names.iter().find(|&&(number, _)| number == bit) {
                Some((_, name)) => write!(f, " {name}")?,
                None => write!(f, " bit {bit}")?,
            }
        }
        Ok(())
    }
}

/// RFLAGS (SDM vol. 1, 3.4.3). Bit 1 is always set. Each of the two IOPL bits has a name.
#[must_use]
pub const fn rflags(value: u64) -> Flags {
    const NAMES: Names = &[
        (0, "CF"),
        (2, "PF"),
        (4, "AF"),
        (6, "ZF"),
        (7, "SF"),
        (8, "TF"),
        (9, "IF"),
        (10, "DF"),
        (11, "OF"),
        (12, "IOPL.0"),
        (13, "IOPL.1"),
        (14, "NT"),
        (16, "RF"),
        (17, "VM"),
        (18, "AC"),
        (19, "VIF"),
        (20, "VIP"),
        (21, "ID"),
    ];
    Flags {
        value,
        names: NAMES,
        ones_at_rest: 1 << 1,
    }
}

/// CR0 (SDM vol. 3A, 2.5).
#[must_use]
pub const fn cr0(value: u64) -> Flags {
    const NAMES: Names = &[
        (0, "PE"),
        (1, "MP"),
        (2, "EM"),
        (3, "TS"),
        (4, "ET"),
        (5, "NE"),
        (16, "WP"),
        (18, "AM"),
        (29, "NW"),
        (30, "CD"),
        (31, "PG"),
    ];
    Flags {
        value,
        names: NAMES,
        ones_at_rest: 0,
    }
}

/// CR4 (SDM vol. 3A, 2.5).
#[must_use]
pub const fn cr4(value: u64) -> Flags {
    const NAMES: Names = &[
        (0, "VME"),
        (1, "PVI"),
        (2, "TSD"),
        (3, "DE"),
        (4, "PSE"),
        (5, "PAE"),
        (6, "MCE"),
        (7, "PGE"),
        (8, "PCE"),
        (9, "OSFXSR"),
        (10, "OSXMMEXCPT"),
        (11, "UMIP"),
        (12, "LA57"),
        (13, "VMXE"),
        (14, "SMXE"),
        (16, "FSGSBASE"),
        (17, "PCIDE"),
        (18, "OSXSAVE"),
        (19, "KL"),
        (20, "SMEP"),
        (21, "SMAP"),
        (22, "PKE"),
        (23, "CET"),
        (24, "PKS"),
        (25, "UINTR"),
        (27, "LASS"),
        (28, "LAM_SUP"),
        (32, "FRED"),
    ];
    Flags {
        value,
        names: NAMES,
        ones_at_rest: 0,
    }
}

/// DR6: the cause of a debug exception (SDM vol. 3B, 19.2.3).
///
/// Bits 4 to 11 and 16 to 31 are 1 if no event occurred; of those, BLD (bus lock, bit 11) and RTM
/// (bit 16) become 0 to report their event.
#[must_use]
pub const fn dr6(value: u64) -> Flags {
    const NAMES: Names = &[
        (0, "B0"),
        (1, "B1"),
        (2, "B2"),
        (3, "B3"),
        (11, "BLD"),
        (13, "BD"),
        (14, "BS"),
        (15, "BT"),
        (16, "RTM"),
    ];
    Flags {
        value,
        names: NAMES,
        ones_at_rest: 0xffff_0ff0,
    }
}
