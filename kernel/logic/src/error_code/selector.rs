//! The error code of #TS, #NP, #SS and #GP (SDM vol. 3A, 7.13).

use super::reserved_bits;
use core::fmt;

/// The table that a selector error code points into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The global descriptor table.
    Gdt,
    /// The local descriptor table.
    Ldt,
    /// The interrupt descriptor table.
    Idt,
}

/// A segment selector, or an IDT vector, as an error code.
///
/// `Display`: `IDT vector 0x21, external`, `GDT selector 0x0028`, or
/// `no selector, or the null selector`: a #GP without any selector carries the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectorErrorCode(pub u32);

impl SelectorErrorCode {
    /// The code for an IDT vector: `vector * 8 + 2`, plus EXT.
    #[must_use]
    pub const fn idt(vector: u8, external: bool) -> Self {
        Self((vector as u32) << 3 | 0b10 | external as u32)
    }

    /// The code for a selector: its table and index without the RPL, plus EXT.
    #[must_use]
    pub const fn selector(selector: u16, external: bool) -> Self {
        Self(selector as u32 & 0xfffc | external as u32)
    }

    /// EXT, bit 0: met while the CPU delivered an event from outside the program,
    /// that is an interrupt or an earlier exception.
    #[must_use]
    pub const fn external(self) -> bool {
        self.0 & 1 != 0
    }

    /// IDT, bit 1: the index is that of a gate in the IDT.
    #[must_use]
    pub const fn in_idt(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// TI, bit 2: the index is one of the LDT. Means nothing when IDT is set.
    #[must_use]
    pub const fn in_ldt(self) -> bool {
        self.0 & 1 << 2 != 0
    }

    /// The table that the index belongs to.
    #[must_use]
    pub const fn table(self) -> Table {
        match (self.in_idt(), self.in_ldt()) {
            (true, _) => Table::Idt,
            (false, true) => Table::Ldt,
            (false, false) => Table::Gdt,
        }
    }

    /// Bits 15:3: the index of the descriptor in its table.
    #[must_use]
    pub const fn index(self) -> u16 {
        (self.0 >> 3) as u16 & 0x1fff
    }

    /// Whether no segment is named: table and index are all zero.
    #[must_use]
    pub const fn is_null(self) -> bool {
        self.0 & 0xfffe == 0
    }
}

impl fmt::Display for SelectorErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.table() {
            _ if self.is_null() => f.write_str("no selector, or the null selector")?,
            Table::Idt => {
                write!(f, "IDT vector {:#04x}", self.index())?;
                if self.in_ldt() {
                    f.write_str(", TI")?;
                }
            }
            Table::Ldt => write!(f, "LDT selector {:#06x}", self.0 & 0xfffc)?,
            Table::Gdt => write!(f, "GDT selector {:#06x}", self.0 & 0xfffc)?,
        }
        if self.external() {
            f.write_str(", external")?;
        }
        reserved_bits(u64::from(self.0 & 0xffff_0000), f)
    }
}
