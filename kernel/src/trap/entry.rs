//! The 256 entry points of the IDT, and the return path.
//!
//! The stub of each vector makes the frame uniform, and the common part completes the
//! [`TrapFrame`](crate::cpu::trap_frame::TrapFrame).
//!
//! An NMI has an entry of its own, because a second NMI may arrive while the first is handled. The
//! processor blocks NMIs from the delivery of one until the next IRET (SDM vol. 3A, 7.7.1), but
//! that may be the IRET of an exception inside the handler; and each NMI's frame is written to the
//! same location, the top of its IST stack. So the entry code treats that location as scratch
//! memory.
//!
//! - The first instruction counts this NMI in `nmi_state`. If no other NMI is active, the frame is
//!   copied to a lower location on the stack, and the handler runs below the copy.
//! - Otherwise, this NMI arrived inside the handler. It leaves the state at 2, and returns at once.
//! - When the handler has returned and only the copy of the frame is left, the state is
//!   decremented: from 2 to 1, and the handler runs again for the nested NMI; or from 1 to 0.
//! - An NMI that arrives after that, before the IRETQ, finds state 0 and a copy that is still
//!   needed. It detects this by its return address, and causes the interrupted code to run the
//!   handler again, on the same copy.
//!
//! The remaining case is an exception whose IRET unblocks the next NMI while the location at the
//! top is in use, or while the state is 0 and the copy is needed. The only such exception that can
//! occur there is a machine check, after which the kernel does not continue (see
//! `nmi::needs_frame`).
//!
//! Interrupts of the local APIC and software interrupts have a shorter path; see `interrupt_entry`.

use core::arch::global_asm;
use core::mem::offset_of;

use tocsin_logic::apic::Mode;
use tocsin_logic::exception::ERROR_CODE_VECTORS;

use super::nmi::{NMI, Nmi, VECTOR};
use crate::cpu::handlers::{MEASURED, SOFTWARE, UNDEFINED, WITHOUT_EOI};
use crate::sync::{LOCAL, Local};

/// Distance from one stub to the next, in bytes.
const STUB_SIZE: u64 = 16;

/// End of the frame's copy on the NMI stack, in bytes below the top. A multiple of 16, because the
/// processor aligns the stack to 16 before it pushes a frame.
const NMI_COPY: u64 = 256;

const _: () = assert!(NMI_COPY.is_multiple_of(16) && NMI_COPY > 2 * 40);

/// `vector` if benchmarks may redirect its stub; without the feature `bench`, no vector.
const fn measured(vector: u8) -> u16 {
    if cfg!(feature = "bench") {
        vector as u16
    } else {
        0x100
    }
}

global_asm!(
    r#"
    .macro save_registers
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
    .endm

    .macro restore_registers
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
    .endm

    .section .text.entry, "ax"
    .macro stubs mode
    .balign {size}
    .global entry_stubs_\mode
entry_stubs_\mode:
    .set vector, 0
    .rept 256
        .org entry_stubs_\mode + vector * {size}, 0xcc // An error, if a stub is longer.
        .set without_eoi, (vector == {n0}) | (vector == {n1}) | (vector == {n2}) | (vector == {n3})
        .if vector == {m0}
            jmp qword ptr [rip + entry_measured_\mode]
        .elseif vector == {m1}
            jmp qword ptr [rip + entry_measured_\mode + 8]
        .elseif vector == {m2}
            jmp qword ptr [rip + entry_measured_\mode + 16]
        .elseif vector == {undefined}
            jmp qword ptr [rip + entry_measured_\mode + 24]
        .elseif vector == {software}
            push rsi
            mov esi, vector
            jmp entry_software
        .elseif vector > 31 && !without_eoi
            push rsi
            mov esi, vector
            jmp entry_interrupt_\mode
        .elseif vector == {nmi}
            jmp entry_nmi
        .else
            .if vector > 31 || (({error_codes} >> (vector & 31)) & 1) == 0
                push 0
            .endif
            push vector
            jmp entry_common
        .endif
        .set vector, vector + 1
    .endr
    .endm

    stubs x2apic
    stubs xapic

    .balign 64
    .global entry_common
entry_common:
    save_registers
    cld
    mov rdi, rsp
    call {handler}
    restore_registers
    add rsp, 16
    iretq

    // An NMI: see above. IRETQ restores the flags.
    .balign 64
    .global entry_nmi, entry_nmi_run, entry_nmi_done, entry_nmi_left, entry_nmi_return, entry_nmi_end
entry_nmi:
    inc dword ptr gs:[{local} + {nmi_state}]
    inc qword ptr gs:[{counts} + {nmi_count}]
    cmp dword ptr gs:[{local} + {nmi_state}], 1
    jne 2f
    cmp qword ptr [rsp], offset entry_nmi_left
    jb 1f
    cmp qword ptr [rsp], offset entry_nmi_return
    jbe 3f
1:  sub rsp, {copy} - 40            // The frame has 40 bytes; the copy ends {copy} below the top.
    .rept 5
        push qword ptr [rsp + {copy} - 8]
    .endr
entry_nmi_run:
    push 0
    push {nmi}
    save_registers
    cld
    mov rdi, rsp
    call {handler}
    restore_registers
    add rsp, 16
entry_nmi_done:
    dec dword ptr gs:[{local} + {nmi_state}]
entry_nmi_left:
    jnz entry_nmi_run
entry_nmi_return:
    iretq
2:  mov dword ptr gs:[{local} + {nmi_state}], 2 // Inside the handler, which will run again.
    inc qword ptr gs:[{counts} + {nmi_nested}]
    iretq
3:  mov qword ptr [rsp], offset entry_nmi_run // Between `dec` and `iretq`.
    inc qword ptr gs:[{counts} + {nmi_nested}]
    iretq
entry_nmi_end:
    .text
    "#,
    size = const STUB_SIZE,
    n0 = const WITHOUT_EOI[0],
    n1 = const WITHOUT_EOI[1],
    n2 = const WITHOUT_EOI[2],
    n3 = const WITHOUT_EOI[3],
    m0 = const measured(MEASURED[0]),
    m1 = const measured(MEASURED[1]),
    m2 = const measured(MEASURED[2]),
    undefined = const measured(UNDEFINED),
    software = const SOFTWARE,
    nmi = const VECTOR,
    local = sym LOCAL,
    nmi_state = const offset_of!(Local, nmi_state),
    counts = sym NMI,
    nmi_count = const offset_of!(Nmi, count),
    nmi_nested = const offset_of!(Nmi, nested),
    copy = const NMI_COPY,
    error_codes = const ERROR_CODE_VECTORS,
    handler = sym crate::trap::exceptions::handle,
);

unsafe extern "C" {
    static entry_stubs_x2apic: u8;
    static entry_stubs_xapic: u8;
}

/// Address of the entry point of `vector` in a mode of the local APIC.
#[must_use]
pub(super) fn stub(mode: Mode, vector: u8) -> u64 {
    let stubs = match mode {
        Mode::X2Apic => &raw const entry_stubs_x2apic,
        Mode::XApic => &raw const entry_stubs_xapic,
    };
    stubs as u64 + u64::from(vector) * STUB_SIZE
}
