//! The gates of long mode, 16 bytes each (SDM vol. 3A, 7.14.1, figure 7-8).

use super::{
    GateError, GateKind, common, dpl_bits, is_canonical, present_bit, selector_bits, type_bits,
};
use core::fmt;

const INTERRUPT: u8 = 0x0e;
const TRAP: u8 = 0x0f;

/// Bits 39:35, above the IST index, and the last four bytes.
const RESERVED: u128 = 0x1f << 35 | 0xffff_ffff << 96;

/// A 64-bit interrupt or trap gate.
///
/// ```
/// # use tocsin_logic::gate::{Gate64, GateError};
/// let gate = Gate64::interrupt(0xffff_ffff_8020_1000, 0x08).with_ist(1)?.with_dpl(3)?;
/// assert_eq!(gate.to_words(), [0x8020_ee01_0008_1000, 0x0000_0000_ffff_ffff]);
/// # Ok::<(), GateError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gate64 {
    /// The canonical address of the handler.
    pub offset: u64,
    /// The selector of the handler's code segment, which must be a 64-bit one.
    pub selector: u16,
    /// The index of the handler's stack in the interrupt stack table, 1 to 7; 0 for no switch.
    pub ist: u8,
    /// The highest CPL (0 to 3) from which INT n or INT3 may use the gate.
    pub dpl: u8,
    /// Interrupt gate or trap gate.
    pub kind: GateKind,
    /// Whether the gate is present.
    pub present: bool,
}

impl Gate64 {
    /// A present gate with DPL 0 and without a stack switch.
    ///
    /// # Errors
    ///
    /// [`GateError::NonCanonical`], because delivery through such a gate raises #GP.
    pub const fn new(kind: GateKind, offset: u64, selector: u16) -> Result<Self, GateError> {
        if !is_canonical(offset) {
            return Err(GateError::NonCanonical(offset));
        }
        Ok(Self {
            offset,
            selector,
            ist: 0,
            dpl: 0,
            kind,
            present: true,
        })
    }

    /// [`Gate64::new`] for an interrupt gate whose handler is a function, which always has a
    /// canonical address.
    ///
    /// # Panics
    ///
    /// If the offset is not canonical.
    #[must_use]
    pub const fn interrupt(offset: u64, selector: u16) -> Self {
        match Self::new(GateKind::Interrupt, offset, selector) {
            Ok(gate) => gate,
            Err(_) => panic!("the handler of an interrupt gate has a non-canonical address"),
        }
    }

    /// [`Gate64::new`] for a trap gate whose handler is a function, which always has a canonical
    /// address.
    ///
    /// # Panics
    ///
    /// If the offset is not canonical.
    #[must_use]
    pub const fn trap(offset: u64, selector: u16) -> Self {
        match Self::new(GateKind::Trap, offset, selector) {
            Ok(gate) => gate,
            Err(_) => panic!("the handler of a trap gate has a non-canonical address"),
        }
    }

    /// Returns the gate with this index into the interrupt stack table; 0 for no switch.
    ///
    /// # Errors
    ///
    /// [`GateError::Ist`] above 7.
    pub const fn with_ist(self, ist: u8) -> Result<Self, GateError> {
        if ist > 7 {
            return Err(GateError::Ist(ist));
        }
        Ok(Self { ist, ..self })
    }

    /// Returns the gate with this DPL: software interrupts may use it from a CPL of at most `dpl`.
    ///
    /// # Errors
    ///
    /// [`GateError::Dpl`] above 3.
    pub const fn with_dpl(self, dpl: u8) -> Result<Self, GateError> {
        if dpl > 3 {
            return Err(GateError::Dpl(dpl));
        }
        Ok(Self { dpl, ..self })
    }

    /// Encodes the gate as two words, the lower address first. Only the low three bits of `ist` and
    /// the low two bits of `dpl` are used.
    #[must_use]
    pub const fn to_words(self) -> [u64; 2] {
        let kind = match self.kind {
            GateKind::Interrupt => INTERRUPT,
            GateKind::Trap => TRAP,
        };
        let low = common(self.selector, kind, self.dpl, self.present)
            | self.offset & 0xffff
            | (self.ist as u64 & 7) << 32
            | (self.offset >> 16 & 0xffff) << 48;
        [low, self.offset >> 32]
    }

    /// Encodes the sixteen bytes of the gate as a little-endian number.
    #[must_use]
    pub const fn encode(self) -> u128 {
        let [low, high] = self.to_words();
        (high as u128) << 64 | low as u128
    }

    /// Decodes a gate.
    ///
    /// # Errors
    ///
    /// [`GateError::Type`], [`GateError::Reserved`] and [`GateError::NonCanonical`], in this order.
    /// An all-zero entry has an invalid type; the CPU treats it the same way.
    pub const fn decode(bits: u128) -> Result<Self, GateError> {
        match Self::from_bits(bits) {
            Ok(_) if bits & RESERVED != 0 => Err(GateError::Reserved(bits & RESERVED)),
            Ok(gate) if !is_canonical(gate.offset) => Err(GateError::NonCanonical(gate.offset)),
            other => other,
        }
    }

    /// Decodes the fields. Only the type is checked, as the CPU does first.
    pub(super) const fn from_bits(bits: u128) -> Result<Self, GateError> {
        let low = bits as u64;
        let kind = match type_bits(low) {
            INTERRUPT => GateKind::Interrupt,
            TRAP => GateKind::Trap,
            other => return Err(GateError::Type(other)),
        };
        let offset = ((bits >> 64) as u64) << 32 | low >> 48 << 16 | low & 0xffff;
        Ok(Self {
            offset,
            selector: selector_bits(low),
            ist: (low >> 32) as u8 & 7,
            dpl: dpl_bits(low),
            kind,
            present: present_bit(low),
        })
    }
}

impl fmt::Display for Gate64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} gate {:04x}:{:016x} DPL {}",
            self.kind, self.selector, self.offset, self.dpl
        )?;
        if self.ist != 0 {
            write!(f, " IST {}", self.ist)?;
        }
        if !self.present {
            f.write_str(" not present")?;
        }
        Ok(())
    }
}
