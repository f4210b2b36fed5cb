//! The gates of protected mode, 8 bytes each (SDM vol. 3A, 7.11, 9.2.5).

use super::{GateError, GateKind, common, dpl_bits, present_bit, selector_bits, type_bits};
use core::fmt;

const TASK: u8 = 0x05;
const INTERRUPT_16: u8 = 0x06;
const TRAP_16: u8 = 0x07;
const INTERRUPT_32: u8 = 0x0e;
const TRAP_32: u8 = 0x0f;

/// Bits 39:32: five reserved bits and three that must be zero.
const RESERVED: u64 = 0xff << 32;
/// Bits 63:48 of a 16-bit gate are reserved too.
const RESERVED_16: u64 = RESERVED | 0xffff << 48;
/// A task gate has no offset.
const RESERVED_TASK: u64 = RESERVED_16 | 0xffff;

/// A 16-bit interrupt or trap gate, introduced by the 286.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gate16 {
    /// The offset of the handler in its segment.
    pub offset: u16,
    /// The selector of the handler's code segment.
    pub selector: u16,
    /// The highest CPL (0 to 3) from which INT n may use the gate.
    pub dpl: u8,
    /// Interrupt gate or trap gate.
    pub kind: GateKind,
    /// Whether the gate is present.
    pub present: bool,
}

impl Gate16 {
    /// Encodes the eight bytes of the gate as a little-endian number. Only the low two bits of
    /// `dpl` are used.
    #[must_use]
    pub const fn encode(self) -> u64 {
        let kind = match self.kind {
            GateKind::Interrupt => INTERRUPT_16,
            GateKind::Trap => TRAP_16,
        };
        common(self.selector, kind, self.dpl, self.present) | self.offset as u64
    }

    /// Decodes a gate.
    ///
    /// # Errors
    ///
    /// [`GateError::Type`] and [`GateError::Reserved`].
    pub const fn decode(bits: u64) -> Result<Self, GateError> {
        match ProtectedGate::decode(bits) {
            Ok(ProtectedGate::Gate16(gate)) => Ok(gate),
            Ok(_) => Err(GateError::Type(type_bits(bits))),
            Err(error) => Err(error),
        }
    }
}

/// A 32-bit interrupt or trap gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Gate32 {
    /// The offset of the handler in its segment.
    pub offset: u32,
    /// The selector of the handler's code segment.
    pub selector: u16,
    /// The highest CPL (0 to 3) from which INT n may use the gate.
    pub dpl: u8,
    /// Interrupt gate or trap gate.
    pub kind: GateKind,
    /// Whether the gate is present.
    pub present: bool,
}

impl Gate32 {
    /// Encodes the eight bytes of the gate as a little-endian number. Only the low two bits of
    /// `dpl` are used.
    #[must_use]
    pub const fn encode(self) -> u64 {
        let kind = match self.kind {
            GateKind::Interrupt => INTERRUPT_32,
            GateKind::Trap => TRAP_32,
        };
        let offset = self.offset as u64;
        common(self.selector, kind, self.dpl, self.present) | offset & 0xffff | offset >> 16 << 48
    }

    /// Decodes a gate.
    ///
    /// # Errors
    ///
    /// [`GateError::Type`] and [`GateError::Reserved`].
    pub const fn decode(bits: u64) -> Result<Self, GateError> {
        match ProtectedGate::decode(bits) {
            Ok(ProtectedGate::Gate32(gate)) => Ok(gate),
            Ok(_) => Err(GateError::Type(type_bits(bits))),
            Err(error) => Err(error),
        }
    }
}

/// A task gate, through which the CPU switches to a task. Not available in long mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskGate {
    /// The selector of the task's TSS in the GDT.
    pub selector: u16,
    /// The highest CPL (0 to 3) from which INT n may use the gate.
    pub dpl: u8,
    /// Whether the gate is present.
    pub present: bool,
}

impl TaskGate {
    /// Encodes the eight bytes of the gate as a little-endian number. Only the low two bits of
    /// `dpl` are used.
    #[must_use]
    pub const fn encode(self) -> u64 {
        common(self.selector, TASK, self.dpl, self.present)
    }

    /// Decodes a gate.
    ///
    /// # Errors
    ///
    /// [`GateError::Type`] and [`GateError::Reserved`].
    pub const fn decode(bits: u64) -> Result<Self, GateError> {
        match ProtectedGate::decode(bits) {
            Ok(ProtectedGate::Task(gate)) => Ok(gate),
            Ok(_) => Err(GateError::Type(type_bits(bits))),
            Err(error) => Err(error),
        }
    }
}

/// Any gate of a protected-mode IDT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProtectedGate {
    /// 16-bit interrupt or trap gate, types 6 and 7.
    Gate16(Gate16),
    /// 32-bit interrupt or trap gate, types 14 and 15.
    Gate32(Gate32),
    /// Task gate, type 5.
    Task(TaskGate),
}

impl ProtectedGate {
    /// Encodes the eight bytes of the gate as a little-endian number.
    #[must_use]
    pub const fn encode(self) -> u64 {
        match self {
            Self::Gate16(gate) => gate.encode(),
            Self::Gate32(gate) => gate.encode(),
            Self::Task(gate) => gate.encode(),
        }
    }

    /// Decodes a gate of the type in bits 44:40.
    ///
    /// # Errors
    ///
    /// [`GateError::Type`] and [`GateError::Reserved`].
    pub const fn decode(bits: u64) -> Result<Self, GateError> {
        let gate = match Self::from_bits(bits) {
            Ok(gate) => gate,
            Err(error) => return Err(error),
        };
        let reserved = match gate {
            Self::Gate16(_) => RESERVED_16,
            Self::Gate32(_) => RESERVED,
            Self::Task(_) => RESERVED_TASK,
        };
        if bits & reserved != 0 {
            return Err(GateError::Reserved((bits & reserved) as u128));
        }
        Ok(gate)
    }

    /// Decodes the fields. Only the type is checked: the CPU does not check reserved bits.
    pub(super) const fn from_bits(bits: u64) -> Result<Self, GateError> {
        let bits_44_40 = type_bits(bits);
        let (selector, dpl, present) = (selector_bits(bits), dpl_bits(bits), present_bit(bits));
        let kind = match bits_44_40 {
            INTERRUPT_16 | INTERRUPT_32 => GateKind::Interrupt,
            TRAP_16 | TRAP_32 => GateKind::Trap,
            TASK => {
                return Ok(Self::Task(TaskGate {
                    selector,
                    dpl,
                    present,
                }));
            }
            other => return Err(GateError::Type(other)),
        };
        Ok(if bits_44_40 & 0b1000 == 0 {
            let offset = bits as u16;
            Self::Gate16(Gate16 {
                offset,
                selector,
                dpl,
                kind,
                present,
            })
        } else {
            let offset = (bits >> 48 << 16 | bits & 0xffff) as u32;
            Self::Gate32(Gate32 {
                offset,
                selector,
                dpl,
                kind,
                present,
            })
        })
    }
}

/// Returns ` not present`, or nothing.
const fn absence(present: bool) -> &'static str {
    if present { "" } else { " not present" }
}

impl fmt::Display for ProtectedGate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gate16(g) => write!(
                f,
                "16-bit {} gate {:04x}:{:04x} DPL {}{}",
                g.kind,
                g.selector,
                g.offset,
                g.dpl,
                absence(g.present)
            ),
            Self::Gate32(g) => write!(
                f,
                "32-bit {} gate {:04x}:{:08x} DPL {}{}",
                g.kind,
                g.selector,
                g.offset,
                g.dpl,
                absence(g.present)
            ),
            Self::Task(g) => {
                write!(
                    f,
                    "task gate {:04x} DPL {}{}",
                    g.selector,
                    g.dpl,
                    absence(g.present)
                )
            }
        }
    }
}
