//! The error codes of AMD's #VC and #SX (APM vol. 2, 8.2, appendix C).

use core::fmt;

/// The operation of an SEV-ES guest that the hypervisor would intercept, as an SVM exit code.
///
/// `Display`: `exit code for CPUID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmmCommunicationErrorCode(pub u32);

/// The exits for which a guest receives #VC (the non-automatic exits of the GHCB specification),
/// with their exit codes (APM vol. 2, appendix C).
const EXITS: [(u32, &str); 14] = [
    (0x6e, "RDTSC"),
    (0x6f, "RDPMC"),
    (0x72, "CPUID"),
    (0x76, "INVD"),
    (0x7b, "IN or OUT"),
    (0x7c, "RDMSR or WRMSR"),
    (0x81, "VMMCALL"),
    (0x87, "RDTSCP"),
    (0x89, "WBINVD"),
    (0x8a, "MONITOR"),
    (0x8b, "MWAIT"),
    (0x8d, "XSETBV"),
    (0x400, "nested page fault"),
    (0x404, "page not validated"),
];

impl fmt::Display for VmmCommunicationErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, name)) = EXITS.iter().find(|&&(code, _)| code == self.0) {
            return write!(f, "exit code for {name}");
        }
        match self.0 {
            code @ 0x00..=0x0f => write!(f, "exit code for a read of CR{code}"),
            code @ 0x10..=0x1f => write!(f, "exit code for a write of CR{}", code - 0x10),
            code @ 0x20..=0x2f => write!(f, "exit code for a read of DR{}", code - 0x20),
            code @ 0x30..=0x3f => write!(f, "exit code for a write of DR{}", code - 0x30),
            code @ 0x40..=0x5f => write!(f, "exit code for exception {}", code - 0x40),
            _ => f.write_str("exit code without a name"),
        }
    }
}

/// The security-sensitive event that caused a #SX.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityErrorCode(pub u32);

impl fmt::Display for SecurityErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("INIT signal, turned into this exception (VM_CR.R_INIT)"),
            other => write!(f, "reserved cause {other}"),
        }
    }
}
