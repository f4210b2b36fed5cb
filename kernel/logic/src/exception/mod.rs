//! The 32 architectural vectors: names, classes and error codes.
//!
//! Fault reports, the monitor and the entry stubs (which depend on whether the CPU pushes an error
//! code) share this table, so they cannot disagree.

use core::fmt;

#[cfg(test)]
mod tests;

/// The class of an exception: its relation to the instruction at the saved RIP (SDM vol. 3A, 7.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reported before the instruction: RIP points to it, and it can be restarted.
    Fault,
    /// Reported after the instruction: RIP points to the next one.
    Trap,
    /// A fault or a trap, depending on the cause (#DB).
    FaultOrTrap,
    /// An interrupt: not caused by an instruction.
    Interrupt,
    /// RIP may point anywhere, and the program cannot be resumed.
    Abort,
    /// Not assigned by Intel or AMD.
    Reserved,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fault => "fault",
            Self::Trap => "trap",
            Self::FaultOrTrap => "fault or trap",
            Self::Interrupt => "interrupt",
            Self::Abort => "abort",
            Self::Reserved => "reserved",
        })
    }
}

/// The format of the error code of an exception (SDM vol. 3A, 7.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCodeKind {
    /// The CPU pushes no error code.
    None,
    /// The CPU pushes zero (#DF, #AC; for #AC bit 0 can be EXT).
    Zero,
    /// A segment selector or an IDT vector.
    Selector,
    /// The access that caused a page fault.
    PageFault,
    /// The control transfer that failed a CET check.
    ControlProtection,
    /// The exit code of the intercepted operation (APM vol. 2, appendix C).
    VmmCommunication,
    /// The security-sensitive event (APM vol. 2, 8.2).
    Security,
}

/// An exception: one of the 32 architectural vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exception {
    /// The vector, 0 to 31.
    pub vector: u8,
    /// The mnemonic of the manuals, such as `#PF`. For a vector without one, `#` and its number.
    pub mnemonic: &'static str,
    /// The name in the manuals.
    pub name: &'static str,
    /// The class: fault, trap, abort and so on.
    pub kind: Kind,
    /// The format of the error code.
    pub error_code: ErrorCodeKind,
    /// A short description of the causes.
    pub source: &'static str,
}

/// Formats as `#PF page fault (vector 14)`.
impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} (vector {})",
            self.mnemonic, self.name, self.vector
        )
    }
}

/// Returns the exception with this vector; `None` from 32 up, which are interrupts.
#[must_use]
pub fn exception(vector: u8) -> Option<&'static Exception> {
    EXCEPTIONS.get(usize::from(vector))
}

/// The vector of #DB.
pub const DEBUG: u8 = 1;
/// The vector of NMI.
pub const NMI: u8 = 2;
/// The vector of #DF.
pub const DOUBLE_FAULT: u8 = 8;
/// The vector of #MC.
pub const MACHINE_CHECK: u8 = 18;

/// The vectors for which the CPU pushes an error code, one bit each: 8, 10 to 14, 17 and 21 (SDM
/// vol. 3A, table 7-1), 29 and 30 (APM vol. 2, 8.2).
pub const ERROR_CODE_VECTORS: u32 = {
    let mut mask = 0;
    let mut vector = 0;
    while vector < EXCEPTIONS.len() {
        if !matches!(EXCEPTIONS[vector].error_code, ErrorCodeKind::None) {
            mask |= 1 << vector;
        }
        vector += 1;
    }
    mask
};

/// Whether the CPU pushes an error code for this vector.
#[must_use]
pub const fn pushes_error_code(vector: u8) -> bool {
    vector < 32 && ERROR_CODE_VECTORS >> vector & 1 != 0
}

const fn entry(
    vector: u8,
    mnemonic: &'static str,
    name: &'static str,
    kind: Kind,
    error_code: ErrorCodeKind,
    source: &'static str,
) -> Exception {
    Exception {
        vector,
        mnemonic,
        name,
        kind,
        error_code,
        source,
    }
}

const fn reserved(vector: u8, mnemonic: &'static str) -> Exception {
    entry(
        vector,
        mnemonic,
        "reserved",
        Kind::Reserved,
        ErrorCodeKind::None,
        "no processor event; only an INT instruction or a wrongly programmed interrupt",
    )
}

/// The table of exceptions: SDM vol. 3A, table 7-1 and 7.15; 28 to 30: APM vol. 2, 8.2.
#[rustfmt::skip]
static EXCEPTIONS: [Exception; 32] = {
    use ErrorCodeKind as Code;
    use Kind::{Abort, Fault, FaultOrTrap, Interrupt, Trap};
    [
        entry(0, "#DE", "divide error", Fault, Code::None, "DIV or IDIV: divisor zero or quotient too large"),
        entry(1, "#DB", "debug exception", FaultOrTrap, Code::None, "breakpoint register, single step, task switch, INT1 or bus lock"),
        entry(2, "NMI", "non-maskable interrupt", Interrupt, Code::None, "NMI pin, NMI message or NMI IPI"),
        entry(3, "#BP", "breakpoint", Trap, Code::None, "INT3"),
        entry(4, "#OF", "overflow", Trap, Code::None, "INTO with OF set"),
        entry(5, "#BR", "BOUND range exceeded", Fault, Code::None, "BOUND"),
        entry(6, "#UD", "invalid opcode", Fault, Code::None, "UD2 or an instruction that does not exist here"),
        entry(7, "#NM", "device not available", Fault, Code::None, "x87, SSE or AVX instruction while CR0.TS or CR0.EM forbids it"),
        entry(8, "#DF", "double fault", Abort, Code::Zero, "a fault while another was being delivered"),
        entry(9, "#9", "coprocessor segment overrun", Fault, Code::None, "x87 operand beyond a segment; only the 386 raised it"),
        entry(10, "#TS", "invalid TSS", Fault, Code::Selector, "task switch or TSS access"),
        entry(11, "#NP", "segment not present", Fault, Code::Selector, "loading a segment, or using a gate, that is not present"),
        entry(12, "#SS", "stack-segment fault", Fault, Code::Selector, "stack address not canonical or beyond its limit, or SS load"),
        entry(13, "#GP", "general protection", Fault, Code::Selector, "any protection violation without an exception of its own"),
        entry(14, "#PF", "page fault", Fault, Code::PageFault, "memory access that paging does not allow"),
        reserved(15, "#15"),
        entry(16, "#MF", "x87 floating-point error", Fault, Code::None, "x87 instruction or WAIT after an unmasked x87 error"),
        entry(17, "#AC", "alignment check", Fault, Code::Zero, "unaligned access in user mode with alignment checks on, or a split lock"),
        entry(18, "#MC", "machine check", Abort, Code::None, "hardware error; the machine-check banks tell more"),
        entry(19, "#XM", "SIMD floating-point exception", Fault, Code::None, "SSE or AVX arithmetic with the exception unmasked in MXCSR"),
        entry(20, "#VE", "virtualization exception", Fault, Code::None, "EPT violation in a guest"),
        entry(21, "#CP", "control protection exception", Fault, Code::ControlProtection, "RET, IRET, RSTORSSP, SETSSBSY or a branch without ENDBRANCH, under CET"),
        reserved(22, "#22"),
        reserved(23, "#23"),
        reserved(24, "#24"),
        reserved(25, "#25"),
        reserved(26, "#26"),
        reserved(27, "#27"),
        entry(28, "#HV", "hypervisor injection exception", Interrupt, Code::None, "event injected into an SEV-SNP guest"),
        entry(29, "#VC", "VMM communication exception", Fault, Code::VmmCommunication, "intercepted operation in an SEV-ES guest"),
        entry(30, "#SX", "security exception", Interrupt, Code::Security, "security-sensitive event, such as INIT turned into an exception under SVM"),
        reserved(31, "#31"),
    ]
};
