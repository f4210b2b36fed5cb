//! The lookup of a handler in the IDT, from the vector to the address of the first instruction.
//!
//! The manuals describe it in SDM vol. 3A, 7.10 to 7.14 and in the pseudocode of INT n in vol. 2.
//! Here it is one function without side effects, so that a table can be checked before it is
//! loaded.

use super::{Gate64, GateKind, ProtectedGate, RealModeVector, is_canonical};
use crate::error_code::{PageFaultErrorCode, SelectorErrorCode};
use core::fmt;

#[cfg(test)]
mod tests;

/// The CPU's mode, which determines the format of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Real-address mode: far pointers of 4 bytes.
    Real,
    /// Protected mode outside long mode: gates of 8 bytes.
    Protected,
    /// Long mode, including compatibility mode: gates of 16 bytes.
    Long,
}

impl Mode {
    /// The size of an entry in bytes.
    #[must_use]
    pub const fn entry_size(self) -> u64 {
        match self {
            Self::Real => 4,
            Self::Protected => 8,
            Self::Long => 16,
        }
    }
}

/// The IDTR and the mode of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Idt {
    /// The CPU's mode.
    pub mode: Mode,
    /// The linear address of entry 0.
    pub base: u64,
    /// The offset of the last byte of the table.
    pub limit: u16,
}

impl Idt {
    /// The linear address of the entry of a vector.
    #[must_use]
    pub const fn entry(&self, vector: u8) -> u64 {
        let address = self
            .base
            .wrapping_add(vector as u64 * self.mode.entry_size());
        match self.mode {
            Mode::Long => address,
            Mode::Real | Mode::Protected => address & 0xffff_ffff,
        }
    }

    /// Whether the entry of a vector is entirely within the limit.
    #[must_use]
    pub const fn contains(&self, vector: u8) -> bool {
        let size = self.mode.entry_size();
        vector as u64 * size + size - 1 <= self.limit as u64
    }
}

/// The source of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// An external interrupt, an NMI, an exception, or INT1, which is exempt from the DPL check
    /// too. A fault during delivery reports EXT.
    Hardware,
    /// INT n, INT3 or INTO: the CPL must not exceed the gate's DPL.
    Software {
        /// The current privilege level, 0 to 3.
        cpl: u8,
    },
}

/// The result of a successful lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// A handler in a code segment. The CPU also checks the segment's descriptor (SDM vol. 3A,
    /// 7.12.1), which requires the GDT.
    Handler {
        /// The code segment: a selector, or in real mode the segment itself.
        selector: u16,
        /// The offset in the segment.
        offset: u64,
        /// Interrupt or trap gate; real mode always clears IF.
        kind: GateKind,
        /// The index into the interrupt stack table, 1 to 7; 0 for none.
        ist: u8,
    },
    /// A task switch.
    Task {
        /// The selector of the task's TSS.
        selector: u16,
    },
}

/// The exception that the CPU raises during the lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// #GP; real mode pushes no error code.
    GeneralProtection(Option<SelectorErrorCode>),
    /// #NP.
    NotPresent(SelectorErrorCode),
    /// #PF on the access to the entry.
    PageFault {
        /// The address of the entry, for CR2. If the entry crosses into a page that is not present,
        /// the CPU reports the address of that page instead.
        address: u64,
        /// Always a supervisor read of a page that is not present.
        error_code: PageFaultErrorCode,
    },
}

impl Fault {
    /// The vector of the exception.
    #[must_use]
    pub const fn vector(&self) -> u8 {
        match self {
            Self::GeneralProtection(_) => 13,
            Self::NotPresent(_) => 11,
            Self::PageFault { .. } => 14,
        }
    }

    /// The error code that the CPU pushes.
    #[must_use]
    pub const fn error_code(&self) -> Option<u32> {
        match self {
            Self::GeneralProtection(code) => match code {
                Some(code) => Some(code.0),
                None => None,
            },
            Self::NotPresent(code) => Some(code.0),
            Self::PageFault { error_code, .. } => Some(error_code.0),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GeneralProtection(None) => f.write_str("#GP"),
            Self::GeneralProtection(Some(code)) => write!(f, "#GP({:#06x}: {code})", code.0),
            Self::NotPresent(code) => write!(f, "#NP({:#06x}: {code})", code.0),
            Self::PageFault {
                address,
                error_code,
            } => {
                write!(f, "#PF({error_code}) at {address:#x}")
            }
        }
    }
}

impl core::error::Error for Fault {}

/// Looks up a vector as the CPU does.
///
/// `read` fills the buffer from a linear address and returns whether it succeeded; it is called for
/// one entry at most: 4, 8 or 16 bytes. In real mode a read cannot fault, so the buffer is used
/// whatever `read` returns.
///
/// # Errors
///
/// The exception that the CPU raises if it does not reach the handler. The checks are in the CPU's
/// order: limit, type, DPL, presence, selector, offset.
pub fn lookup(
    idt: Idt,
    vector: u8,
    source: Source,
    read: impl FnOnce(u64, &mut [u8]) -> bool,
) -> Result<Target, Fault> {
    let attempt = Attempt {
        idt,
        vector,
        source,
    };
    match idt.mode {
        Mode::Real => attempt.real(read),
        Mode::Protected => attempt.protected(read),
        Mode::Long => attempt.long(read),
    }
}

/// The parameters of a lookup.
struct Attempt {
    idt: Idt,
    vector: u8,
    source: Source,
}

impl Attempt {
    fn real(&self, read: impl FnOnce(u64, &mut [u8]) -> bool) -> Result<Target, Fault> {
        if !self.idt.contains(self.vector) {
            return Err(Fault::GeneralProtection(None));
        }
        // Reads of unmapped memory return all ones.
        let mut bytes = [0xff; 4];
        read(self.idt.entry(self.vector), &mut bytes);
        let RealModeVector { ip, cs } = RealModeVector::decode(u32::from_le_bytes(bytes));
        Ok(Target::Handler {
            selector: cs,
            offset: u64::from(ip),
            kind: GateKind::Interrupt,
            ist: 0,
        })
    }

    fn protected(&self, read: impl FnOnce(u64, &mut [u8]) -> bool) -> Result<Target, Fault> {
        let bits = u64::from_le_bytes(self.entry(read)?);
        let gate = ProtectedGate::from_bits(bits).map_err(|_| self.bad_gate())?;
        match gate {
            ProtectedGate::Gate16(gate) => {
                self.check_access(gate.dpl, gate.present)?;
                self.handler(gate.selector, u64::from(gate.offset), gate.kind, 0)
            }
            ProtectedGate::Gate32(gate) => {
                self.check_access(gate.dpl, gate.present)?;
                self.handler(gate.selector, u64::from(gate.offset), gate.kind, 0)
            }
            ProtectedGate::Task(gate) => {
                self.check_access(gate.dpl, gate.present)?;
                // A TSS descriptor must be in the GDT, and not in entry 0.
                if gate.selector & 0b100 != 0 || gate.selector & 0xfffc == 0 {
                    return Err(self.bad_selector(gate.selector));
                }
                Ok(Target::Task {
                    selector: gate.selector,
                })
            }
        }
    }

    fn long(&self, read: impl FnOnce(u64, &mut [u8]) -> bool) -> Result<Target, Fault> {
        let address = self.idt.entry(self.vector);
        if !is_canonical(address) || !is_canonical(address.wrapping_add(15)) {
            return Err(self.bad_gate());
        }
        let bits = u128::from_le_bytes(self.entry(read)?);
        let gate = Gate64::from_bits(bits).map_err(|_| self.bad_gate())?;
        self.check_access(gate.dpl, gate.present)?;
        let target = self.handler(gate.selector, gate.offset, gate.kind, gate.ist)?;
        if !is_canonical(gate.offset) {
            return Err(self.bad_selector(0));
        }
        Ok(target)
    }

    /// Reads the bytes of the entry, after the limit check.
    fn entry<const N: usize>(
        &self,
        read: impl FnOnce(u64, &mut [u8]) -> bool,
    ) -> Result<[u8; N], Fault> {
        if !self.idt.contains(self.vector) {
            return Err(self.bad_gate());
        }
        let address = self.idt.entry(self.vector);
        let mut bytes = [0; N];
        if !read(address, &mut bytes) {
            return Err(Fault::PageFault {
                address,
                error_code: PageFaultErrorCode(0),
            });
        }
        Ok(bytes)
    }

    fn check_access(&self, dpl: u8, present: bool) -> Result<(), Fault> {
        if let Source::Software { cpl } = self.source
            && dpl < cpl
        {
            return Err(self.bad_gate());
        }
        if !present {
            return Err(Fault::NotPresent(SelectorErrorCode::idt(
                self.vector,
                self.external(),
            )));
        }
        Ok(())
    }

    fn handler(
        &self,
        selector: u16,
        offset: u64,
        kind: GateKind,
        ist: u8,
    ) -> Result<Target, Fault> {
        // A selector with index 0 and TI 0 is a null selector whatever its RPL.
        if selector & 0xfffc == 0 {
            return Err(self.bad_selector(0));
        }
        Ok(Target::Handler {
            selector,
            offset,
            kind,
            ist,
        })
    }

    const fn external(&self) -> bool {
        matches!(self.source, Source::Hardware)
    }

    const fn bad_gate(&self) -> Fault {
        let code = SelectorErrorCode::idt(self.vector, self.external());
        Fault::GeneralProtection(Some(code))
    }

    const fn bad_selector(&self, selector: u16) -> Fault {
        let code = SelectorErrorCode::selector(selector, self.external());
        Fault::GeneralProtection(Some(code))
    }
}
