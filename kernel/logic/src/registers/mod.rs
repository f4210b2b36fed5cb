//! The bits of RFLAGS, CR0, CR4 and DR6 by name.

use core::fmt;

#[cfg(test)]
mod tests;

/// A register whose set bits are shown by name, lowest first: `CF ZF IF`.
///
/// A set bit without a name is shown as `bit 40`, and no set bit as `-`, so that
/// nothing of the value is hidden.
#[derive(Clone, Copy, Debug)]
pub struct Flags {
    /// The register's value.
    pub value: u64,
    /// Bit numbers with their names.
    pub names: &'static [(u8, &'static str)],
}

impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.value == 0 {
            return f.write_str("-");
        }
        let mut separator = "";
        for bit in (0..64).filter(|&bit| self.value >> bit & 1 != 0) {
            f.write_str(separator)?;
            separator = " ";
            match self.names.iter().find(|&&(number, _)| number == bit) {
                Some((_, name)) => f.write_str(name)?,
                None => write!(f, "bit {bit}")?,
            }
        }
        Ok(())
    }
}

/// RFLAGS (SDM vol. 1 §3.4.3). Bit 1, always set, is left out.
#[must_use]
pub const fn rflags(value: u64) -> Flags {
    const NAMES: &[(u8, &str)] = &[
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
        value: value & !(1 << 1),
        names: NAMES,
    }
}

/// CR0 (SDM vol. 3A §2.5).
#[must_use]
pub const fn cr0(value: u64) -> Flags {
    const NAMES: &[(u8, &str)] = &[
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
    }
}

/// CR4 (SDM vol. 3A §2.5).
#[must_use]
pub const fn cr4(value: u64) -> Flags {
    const NAMES: &[(u8, &str)] = &[
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
    }
}

/// DR6: what a debug exception was raised for (SDM vol. 3B §19.2.3).
///
/// Bits 4 to 11 and 16 to 31 read as 1 when nothing happened; of those, BLD (bus
/// lock, bit 11) and RTM (bit 16) are cleared to report their event. They are
/// turned round here, so that a name always means that its event happened.
#[must_use]
pub const fn dr6(value: u64) -> Flags {
    const NAMES: &[(u8, &str)] = &[
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
    const ONES_AT_REST: u64 = 0xffff_0ff0;
    Flags {
        value: value ^ ONES_AT_REST,
        names: NAMES,
    }
}
