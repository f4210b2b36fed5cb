//! Decoders for the error codes that the CPU pushes.
//!
//! Each format is a newtype of the pushed value. Its `Display` names every bit, including those
//! that should not be set, because a report without an unexpected bit would be misleading.

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

/// An error code and its format, which depends on the exception.
///
/// `Display` starts with the value in hex: `0x0003: protection violation, write, supervisor, data`.
/// For an exception without an error code it is `none`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode {
    /// The format of the value.
    pub kind: ErrorCodeKind,
    /// The 64 bits of the stack slot. The CPU writes 32 bits and clears the others.
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

/// Formats an error code of the format `kind`.
#[must_use]
pub fn describe(kind: ErrorCodeKind, code: u64) -> impl fmt::Display {
    ErrorCode { kind, code }
}

/// #DF always pushes 0. #AC pushes 0, or EXT alone if the exception occurred during the delivery of
/// another event (SDM vol. 3A, 7.15, "Interrupt 17").
fn zero(code: u32, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{code:#06x}")?;
    match code & 1 {
        0 if code == 0 => f.write_str(": always zero")?,
        0 => f.write_str(": should be zero")?,
        _ => f.write_str(": external")?,
    }
    reserved_bits(u64::from(code & !1), f)
}

/// Appends `, reserved bits 9, 31` for the bits of `mask`; nothing if it is 0.
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
