//! Decoding of the machine-check banks (SDM vol. 3B chapter 17).
//!
//! Only the architectural part is decoded: the MCA error code and the status bits. The
//! model-specific error code is displayed as a number.

use crate::registers::{Flags, Names};
use core::fmt;

mod code;
#[cfg(test)]
mod tests;

pub use code::{ErrorCode, Level, MemoryTransaction, Participation, Request, Space, Transaction};

/// `IA32_MCG_CAP`: the machine-check features of the CPU (SDM vol. 3B, 17.3.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// Bits 7:0: number of banks.
    #[must_use]
    pub const fn banks(self) -> u32 {
        self.0 as u32 & 0xff
    }

    /// `MCG_SER_P`, bit 24: software error recovery is supported, and S and AR are valid in the
    /// banks.
    #[must_use]
    pub const fn has_recovery(self) -> bool {
        self.0 & 1 << 24 != 0
    }

    /// `MCG_CTL_P`, bit 8: `IA32_MCG_CTL` is present.
    #[must_use]
    pub const fn has_control(self) -> bool {
        self.0 & 1 << 8 != 0
    }
}

/// Whether the operating system may write the `IA32_MCi_CTL` of a bank, on the processor with this
/// signature (EAX of CPUID leaf 1). That of bank 0 belongs to the firmware in family 6 before model
/// 1AH (SDM vol. 3B, 17.3.2.1).
#[must_use]
pub const fn is_control_free(bank: u32, signature: u32) -> bool {
    let family = signature >> 8 & 0xf;
    let model = signature >> 12 & 0xf0 | signature >> 4 & 0xf;
    bank != 0 || family != 6 || model >= 0x1a
}

/// `IA32_MCG_STATUS`: the state of the CPU after a machine check (SDM vol. 3B, 17.3.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GlobalStatus(pub u64);

impl GlobalStatus {
    /// RIPV, bit 0: the program can be restarted at the saved RIP.
    #[must_use]
    pub const fn restart_ip_valid(self) -> bool {
        self.0 & 1 != 0
    }

    /// EIPV, bit 1: the saved RIP belongs to the error.
    #[must_use]
    pub const fn error_ip_valid(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// MCIP, bit 2: a machine check is being handled. Another one while it is set shuts down the
    /// CPU.
    #[must_use]
    pub const fn in_progress(self) -> bool {
        self.0 & 1 << 2 != 0
    }

    /// `LMCE_S`, bit 3: delivered only to this CPU.
    #[must_use]
    pub const fn local(self) -> bool {
        self.0 & 1 << 3 != 0
    }
}

impl fmt::Display for GlobalStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: Names = &[
            (0, "RIPV"),
            (1, "EIPV"),
            (2, "MCIP"),
            (3, "LMCE_S"),
            (12, "SEAM_NR"),
        ];
        let flags = Flags {
            value: self.0,
            names: NAMES,
            ones_at_rest: 0,
        };
        flags.fmt(f)
    }
}

/// `IA32_MCi_STATUS`: the error recorded in a bank (SDM vol. 3B, 17.3.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BankStatus(pub u64);

/// The severity of a recorded error (SDM vol. 3B, 17.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Corrected by hardware.
    Corrected,
    /// Uncorrected, but signalling is not enabled: it causes no machine-check exception.
    NotEnabled,
    /// Uncorrected, but the data has not been used yet: no action is required.
    NoAction,
    /// Recovery is possible and not urgent.
    ActionOptional,
    /// Software must handle the error before the program continues.
    ActionRequired,
    /// The CPU's state is corrupt, or recovery is not supported.
    Fatal,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Corrected => "corrected",
            Self::NotEnabled => "uncorrected, not enabled",
            Self::NoAction => "uncorrected, no action required",
            Self::ActionOptional => "uncorrected, action optional",
            Self::ActionRequired => "uncorrected, action required",
            Self::Fatal => "fatal",
        })
    }
}

impl BankStatus {
    const fn bit(self, bit: u8) -> bool {
        self.0 >> bit & 1 != 0
    }

    /// VAL, bit 63: the bank has recorded an error. Otherwise the other bits are not valid.
    #[must_use]
    pub const fn valid(self) -> bool {
        self.bit(63)
    }

    /// OVER, bit 62: another error occurred while one was recorded.
    #[must_use]
    pub const fn overflow(self) -> bool {
        self.bit(62)
    }

    /// UC, bit 61: not corrected.
    #[must_use]
    pub const fn uncorrected(self) -> bool {
        self.bit(61)
    }

    /// EN, bit 60: reporting of this error was enabled.
    #[must_use]
    pub const fn enabled(self) -> bool {
        self.bit(60)
    }

    /// MISCV, bit 59: `IA32_MCi_MISC` contains further information.
    #[must_use]
    pub const fn misc_valid(self) -> bool {
        self.bit(59)
    }

    /// ADDRV, bit 58: `IA32_MCi_ADDR` contains the address.
    #[must_use]
    pub const fn address_valid(self) -> bool {
        self.bit(58)
    }

    /// PCC, bit 57: the CPU's state may be corrupt.
    #[must_use]
    pub const fn context_corrupt(self) -> bool {
        self.bit(57)
    }

    /// S, bit 56: signalled by a machine-check exception. Only valid if `IA32_MCG_CAP` has
    /// `MCG_SER_P`.
    #[must_use]
    pub const fn signalled(self) -> bool {
        self.bit(56)
    }

    /// AR, bit 55: recovery is required. Only valid if `IA32_MCG_CAP` has `MCG_SER_P`.
    #[must_use]
    pub const fn action_required(self) -> bool {
        self.bit(55)
    }

    /// Bits 52:38: number of corrected errors. Only valid if `IA32_MCG_CAP` has `MCG_CMCI_P`.
    #[must_use]
    pub const fn corrected_count(self) -> u16 {
        (self.0 >> 38) as u16 & 0x7fff
    }

    /// MSCOD, bits 31:16: the model-specific error code.
    #[must_use]
    pub const fn model_code(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// MCACOD, bits 15:0: the architectural error code.
    #[must_use]
    pub fn code(self) -> ErrorCode {
        ErrorCode::decode(self.0 as u16)
    }

    /// Whether polling must report and clear the error: it is not signalled because it was
    /// corrected, needs no action, or was not enabled (EN is 0), regardless of its severity. Other
    /// errors belong to the machine-check exception (SDM vol. 3B, 17.10.4.1). `recovery` as in
    /// [`severity`](Self::severity).
    #[must_use]
    pub fn is_for_polling(self, recovery: bool) -> bool {
        self.valid() && self.severity(recovery) <= Severity::NoAction
    }

    /// The severity of the error. `recovery` is `MCG_SER_P` of `IA32_MCG_CAP`: without it, S and AR
    /// are not valid and every uncorrected error is fatal.
    #[must_use]
    pub const fn severity(self, recovery: bool) -> Severity {
        if !self.uncorrected() {
            return Severity::Corrected;
        }
        if !self.enabled() {
            return Severity::NotEnabled;
        }
        if self.context_corrupt() || !recovery {
            return Severity::Fatal;
        }
        match (self.signalled(), self.action_required()) {
            (false, _) => Severity::NoAction,
            (true, false) => Severity::ActionOptional,
            // With OVER set, the record of the earlier error is lost.
            (true, true) if self.overflow() => Severity::Fatal,
            (true, true) => Severity::ActionRequired,
        }
    }
}

/// `0xb200000000000005 VAL UC EN PCC: internal parity error, model code 0x0000`
impl fmt::Display for BankStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [(u8, &str); 9] = [
            (63, "VAL"),
            (62, "OVER"),
            (61, "UC"),
            (60, "EN"),
            (59, "MISCV"),
            (58, "ADDRV"),
            (57, "PCC"),
            (56, "S"),
            (55, "AR"),
        ];
        write!(f, "{:#018x}", self.0)?;
        if !self.valid() {
            return f.write_str(" no error recorded");
        }
        for (_, name) in NAMES.iter().filter(|&&(bit, _)| self.bit(bit)) {
            write!(f, " {name}")?;
        }
        write!(
            f,
            ": {}, model code {:#06x}",
            self.code(),
            self.model_code()
        )
    }
}
