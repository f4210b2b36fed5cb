//! The 256 entry points of the IDT, and the way back.
//!
//! The processor pushes SS, RSP, RFLAGS, CS and RIP, and for some exceptions an error code
//! (SDM vol. 3A, 7.14.2). The stub of each vector makes that one form: it pushes a zero where
//! there is no error code, then the vector. What the common part adds is [`TrapFrame`]:
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
//!   lower    r8 ... r15               <- rsp at the call, a multiple of 16
//! ```

use core::arch::{global_asm, naked_asm};

use tocsin_logic::exception::ERROR_CODE_VECTORS;

/// What an interrupted context looks like on the stack; changes are seen when it goes on.
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

/// Distance from one stub to the next, in bytes.
const STUB_SIZE: u64 = 16;

global_asm!(
    r#"
    .section .text.entry, "ax"
    .balign {size}
    .global entry_stubs
entry_stubs:
    .set vector, 0
    .rept 256
        .balign {size}, 0xcc
        .if vector > 31 || (({error_codes} >> (vector & 31)) & 1) == 0
            push 0
        .endif
        push vector
        jmp entry_common
        .set vector, vector + 1
    .endr

    .balign 64
entry_common:
    push rax
    push rcx
    push rdx
    push rbx
    push rbp
    push rsi
    push rdi
    push r8
    push r9
    push r10
    push r11
    push r12
    push r13
    push r14
    push r15
    cld
    mov rdi, rsp
    call {handler}
    pop r15
    pop r14
    pop r13
    pop r12
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rsi
    pop rbp
    pop rbx
    pop rdx
    pop rcx
    pop rax
    add rsp, 16
    iretq
    .text
    "#,
    size = const STUB_SIZE,
    error_codes = const ERROR_CODE_VECTORS,
    handler = sym super::exceptions::handle,
);

unsafe extern "C" {
    static entry_stubs: u8;
}

/// Address of the entry point of `vector`.
#[must_use]
pub fn stub(vector: u8) -> u64 {
    &raw const entry_stubs as u64 + u64::from(vector) * STUB_SIZE
}

/// Leaves the current stack for the one that ends at `top` and calls `next` there.
///
/// # Safety
///
/// `top` must be the end of mapped, unused memory, a multiple of 16.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn switch_stack(top: u64, next: extern "C" fn() -> !) -> ! {
    // The zeroed RBP ends the chain of frame pointers.
    naked_asm!("mov rsp, rdi", "xor ebp, ebp", "call rsi", "ud2")
}
