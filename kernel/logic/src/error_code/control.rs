//! The error code of #CP (SDM vol. 3A, 7.15, "Interrupt 21").

use super::reserved_bits;
use core::fmt;

/// The error code of a control-protection exception, which CET raises.
///
/// `Display`: `NEAR-RET: return address differs from the shadow stack's`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlProtectionErrorCode(pub u32);

impl ControlProtectionErrorCode {
    /// CPEC, bits 14:0: the check that failed.
    #[must_use]
    pub const fn cause(self) -> u16 {
        self.0 as u16 & 0x7fff
    }

    /// ENCL, bit 15: the exception occurred during enclave execution.
    #[must_use]
    pub const fn enclave(self) -> bool {
        self.0 & 1 << 15 != 0
    }
}

impl fmt::Display for ControlProtectionErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause() {
            1 => f.write_str("NEAR-RET: return address differs from the shadow stack's")?,
            2 => f.write_str("FAR-RET/IRET: return address differs from the shadow stack's")?,
            3 => f.write_str("ENDBRANCH: indirect branch to a place without ENDBRANCH")?,
            4 => f.write_str("RSTORSSP: shadow-stack restore token is wrong")?,
            5 => f.write_str("SETSSBSY: supervisor shadow-stack token is wrong")?,
            other => write!(f, "reserved cause {other}")?,
        }
        if self.enclave() {
            f.write_str(", in an enclave")?;
        }
        reserved_bits(u64::from(self.0 & 0xffff_0000), f)
    }
}
