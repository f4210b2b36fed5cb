//! The error codes that the CPU pushes, decoded bit by bit.
//!
//! Each format is a newtype over the pushed value, with a `Display` that names
//! every bit, those that should not be set included: a report that hides an
//! unexpected bit sends the reader the wrong way.

use crate::exception::{self, ErrorCodeKind};
use core::fmt;

mod control;
mod page_fault;
mod selector;
#[cfg(test)]
mod tests;
mod virtualization;

pub use control::ControlProtectionErrorCode;
pub use page_fault::PageFaultErrorCode;
pub use selector::{SelectorErrorCode, Table};
pub use virtualization::{SecurityErrorCode, VmmCommunicationErrorCode};

/// An error code with the format that its exception gives it.
///
/// `Display` starts with the value in hex: `0x0003: protection violation, write,
/// supervisor, data`. For an exception that pushes none it is `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// How to read the value.
    pub kind: ErrorCodeKind,
    /// The 64 bits in the stack slot. The CPU writes 32 and clears the rest.
    pub code: u64,
}

impl ErrorCode {
    /// The error code of the exception with this vector. Vectors from 32 up have none.
    #[must_use]
    pub fn new(vector: u8, code: u64) -> Self {
        let kind = exception::exception(vector).map_or(ErrorCodeKind::None, |e| e.error_code);
        Self { kind, code }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code as u32;
        match self.kind {
            ErrorCodeKind::None => return f.write_str("none"),
            ErrorCodeKind::Zero => zero(code, f)?,
            ErrorCodeKind::Selector => {
                write!(f, "{code:#06x}: {}", SelectorErrorCode(code))?;
            }
            ErrorCodeKind::PageFault => PageFaultErrorCode(code).fmt(f)?,
            ErrorCodeKind::ControlProtection => {
                write!(f, "{code:#06x}: {}", ControlProtectionErrorCode(code))?;
            }
            ErrorCodeKind::VmmCommunication => {
                write!(f, "{code:#06x}: {}", VmmCommunicationErrorCode(code))?;
            }
            ErrorCodeKind::Security => {
                write!(f, "{code:#06x}: {}", SecurityErrorCode(code))?;
            }
        }
        reserved_bits(self.code & 0xffff_ffff_0000_0000, f)
    }
}

/// Shows an error code in the format of `kind`.
#[must_use]
pub fn describe(kind: ErrorCodeKind, code: u64) -> impl fmt::Display {
    ErrorCode { kind, code }
}

/// #DF always pushes 0. #AC pushes 0 or EXT alone, when it was met while another
/// event was being delivered (SDM vol. 3A, 7.15, "Interrupt 17").
fn zero(code: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{code:#06x}")?;
    match code & 1 {
        0 if code == 0 => f.write_str(": always zero")?,
        0 => f.write_str(": should be zero")?,
        _ => f.write_str(": external")?,
    }
    reserved_bits(u64::from(code & !1), f)
}

/// Adds `, reserved bits 9, 31` for the bits of `mask`; nothing if it is 0.
fn reserved_bits(mask: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut separator = match mask.count_ones() {
        0 => return Ok(()),
        1 => ", reserved bit ",
        _ => ", reserved bits ",
    };
    for bit in (0..64).filter(|&bit| mask >> bit & 1 != 0) {
        write!(f, "{separator}{bit}")?;
        separator = ", ";
    }
    Ok(())
}
