//! The error code of #TS, #NP, #SS and #GP (SDM vol. 3A, 7.13).

use super::reserved_bits;
use core::fmt;

/// The descriptor table of a selector error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// The global descriptor table.
    Gdt,
    /// The local descriptor table.
    Ldt,
    /// The interrupt descriptor table.
    Idt,
}

/// A segment selector or an IDT vector as an error code.
///
/// `Display`: `IDT vector 0x21, external`, `GDT selector 0x0028`, or `no selector, or the null
/// selector`, because a #GP without a selector has the same error code.
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

    /// EXT, bit 0: the exception occurred during the delivery of an event external to the program,
    /// which is an interrupt or an earlier exception.
    #[must_use]
    pub const fn external(self) -> bool {
        self.0 & 1 != 0
    }

    /// IDT, bit 1: the index refers to a gate in the IDT.
    #[must_use]
    pub const fn in_idt(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// TI, bit 2: the index refers to the LDT. Ignored if IDT is set.
    #[must_use]
    pub const fn in_ldt(self) -> bool {
        self.0 & 1 << 2 != 0
    }

    /// The table to which the index refers.
    #[must_use]
    pub const fn table(self) -> Table {
        match (self.in_idt(), self.in_ldt()) {
            (true, _) => Table::Idt,
            (false, true) => Table::Ldt,
            (false, false) => Table::Gdt,
        }
    }

    /// Bits 15:3: the index of the descriptor in the table.
    #[must_use]
    pub const fn index(self) -> u16 {
        (self.0 >> 3) as u16 & 0x1fff
    }

    /// Whether there is no selector: table and index are 0.
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
