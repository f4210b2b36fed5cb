//! The entry code of the kernel's own IPIs that need no handler: TLB requests, and the reschedule
//! IPI of a kernel without a scheduler.
//!
//! A handler is called with interrupts enabled, on the interrupt stack, with nine registers saved.
//! The entry code here has a bounded number of instructions, at most [`LONGEST`]. It runs with
//! interrupts disabled on the current stack, and saves three registers. Thus these interrupts delay
//! those of a higher class by no more than these instructions, and no interrupt nests in them.

use core::arch::global_asm;
use core::mem::offset_of;

use tocsin_logic::apic::Mode;
use tocsin_logic::irq::shootdown::{ALL, LIMIT, Requests};
use tocsin_logic::vector::{Vector, fixed};

use crate::cpu::handlers::{INTERRUPTS, Interrupts};
use crate::fn_cell::FnCell;
use crate::memory::tlb::{ACKNOWLEDGED, REQUESTS};

/// Maximum number of instructions from the gate to the return: those of a barrier, three for a
/// range, and four for each page. The flush of all translations has fewer.
pub const LONGEST: usize = 16 + 3 + 4 * LIMIT;

/// The function that runs on a CPU that receives the reschedule IPI, if there is one.
pub(crate) static RESCHEDULE: FnCell<fn()> = FnCell::empty();

global_asm!(
    r#"
    .section .text.entry, "ax"

    .macro save_three
    push rax
    push rcx
    push rdx
    .endm

    // edx is 0.
    .macro end_leaf x2apic
    .if \x2apic
        mov ecx, 0x80b              // EOI, as MSR.
        xor eax, eax
        wrmsr
    .else
        mov rax, gs:[{cpu} + {apic_page}]
        mov dword ptr [rax + 0xb0], 0
    .endif
    pop rdx
    pop rcx
    pop rax
    iretq
    .endm

    .macro leaf_paths mode, x2apic
    // As `Requests::serve`. The number is read before the ranges.
    .balign 64
    .global entry_tlb_\mode
entry_tlb_\mode:
    save_three
    inc qword ptr gs:[{cpu} + {counts} + {tlb} * 8]
    mov rax, [{requests} + {number}]
    mov rdx, [{requests} + {pending}]
    test rdx, rdx
    jz 2f
    test edx, {all}
    jnz 3f
    // The address of a page, plus the number of pages from there on.
1:  invlpg [rdx]
    add rdx, 4096 - 1
    test edx, 4096 - 1
    jnz 1b
    xor edx, edx
2:  mov gs:[{acknowledged}], rax
    end_leaf \x2apic
    // A change of CR4.PGE invalidates all translations (SDM vol. 3A, 5.10.4.1).
3:  mov rdx, cr4
    mov rcx, rdx
    xor rcx, {pge}
    mov cr4, rcx
    mov cr4, rdx
    xor edx, edx
    jmp 2b

    .balign 64
    .global entry_reschedule_\mode
entry_reschedule_\mode:
    cmp qword ptr [{hook}], 0
    jne 1f
    save_three
    inc qword ptr gs:[{cpu} + {counts} + {reschedule} * 8]
    xor edx, edx
    end_leaf \x2apic
1:  push rsi
    mov esi, {reschedule}
    jmp entry_interrupt_\mode
    .endm

    leaf_paths x2apic, 1
    leaf_paths xapic, 0
    .text
    "#,
    cpu = sym INTERRUPTS,
    counts = const offset_of!(Interrupts, counts),
    apic_page = const offset_of!(Interrupts, apic_page),
    tlb = const fixed::TLB.get(),
    requests = sym REQUESTS,
    number = const Requests::NUMBER,
    pending = const Requests::PENDING,
    all = const ALL,
    acknowledged = sym ACKNOWLEDGED,
    pge = const 1 << 7,
    reschedule = const fixed::RESCHEDULE.get(),
    hook = sym RESCHEDULE,
);

unsafe extern "C" {
    static entry_tlb_x2apic: u8;
    static entry_tlb_xapic: u8;
    static entry_reschedule_x2apic: u8;
    static entry_reschedule_xapic: u8;
}

/// Address of the entry point of `vector`, if it has one here.
pub(super) fn entry(mode: Mode, vector: u8) -> Option<u64> {
    let code = match (Vector(vector), mode) {
        (fixed::TLB, Mode::X2Apic) => &raw const entry_tlb_x2apic,
        (fixed::TLB, Mode::XApic) => &raw const entry_tlb_xapic,
        (fixed::RESCHEDULE, Mode::X2Apic) => &raw const entry_reschedule_x2apic,
        (fixed::RESCHEDULE, Mode::XApic) => &raw const entry_reschedule_xapic,
        _ => return None,
    };
    Some(code as u64)
}
