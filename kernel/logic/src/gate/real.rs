//! The real-mode interrupt vector table (SDM vol. 3B, 22.1.4).

use core::fmt;

/// An entry of the table: a far pointer to the handler. Entry `n` is at offset `4 * n` from the
/// base of the table, which is 0 after reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RealModeVector {
    /// Bits 15:0: the offset of the handler.
    pub ip: u16,
    /// Bits 31:16: the segment of the handler.
    pub cs: u16,
}

impl RealModeVector {
    /// Returns the offset of a vector's entry from the base of the table.
    #[must_use]
    pub const fn address(vector: u8) -> u32 {
        vector as u32 * 4
    }

    /// Encodes the four bytes of the entry as a little-endian number.
    #[must_use]
    pub const fn encode(self) -> u32 {
        (self.cs as u32) << 16 | self.ip as u32
    }

    /// Decodes an entry. Every value is valid.
    #[must_use]
    pub const fn decode(bits: u32) -> Self {
        Self {
            ip: bits as u16,
            cs: (bits >> 16) as u16,
        }
    }

    /// Returns the linear address of the handler: `16 * cs + ip`, up to 0x10ffef.
    #[must_use]
    pub const fn linear(self) -> u32 {
        self.cs as u32 * 16 + self.ip as u32
    }
}

impl fmt::Display for RealModeVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:04x}", self.cs, self.ip)
    }
}
