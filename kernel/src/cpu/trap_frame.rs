//! The registers of interrupted code, as the entry code saves them.
//!
//! The processor pushes SS, RSP, RFLAGS, CS and RIP, and for some exceptions an error code (SDM
//! vol. 3A, 7.14.2). The stub of each vector pushes a zero where there is no error code, then the
//! vector; the common part of the entry code pushes the other registers:
//!
//! ```text
//!   higher   ss
//!            rsp
//!            rflags
//!            cs
//!            rip
//!            error code or 0
//!            vector
//!            rax rcx rdx rbx rbp rsi rdi
//!   lower    r8 ... r15               <- rsp at the call of the handler, a multiple of 16
//! ```

/// The saved state of an interrupted context on the stack; changes take effect on return.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the registers' own names say what they are")]
pub struct TrapFrame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error_code: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}
