//! Descriptor tables, fault messages and CPU checks of the entry code.
//!
//! They are in use from the entry until `trap::init_boot_cpu` loads the kernel's own tables. An NMI
//! is counted in [`early_nmis`] and the entry code continues; any other exception prints one line
//! on COM1 and stops.
//!
//! Both entries use them: the PVH entry in 32-bit mode at physical addresses and then, like the
//! Limine entry, in 64-bit mode. The message routines therefore consist of instructions that have
//! the same encoding in both modes (no absolute addresses, no `inc reg`), and each message follows
//! its call.

use core::arch::global_asm;
use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::exception::ERROR_CODE_VECTORS;
use tocsin_logic::{exit, layout};

/// Number of NMIs that arrived while the tables of the entry code were in use. Not in .bss, which
/// the PVH entry clears.
#[unsafe(link_section = ".data.boot")]
static EARLY_NMIS: AtomicU32 = AtomicU32::new(0);

/// The number of NMIs that arrived before the kernel could report them.
///
/// Context: any.
pub(crate) fn early_nmis() -> u32 {
    EARLY_NMIS.load(Ordering::Relaxed)
}

// The section is at the start of the image (link.ld), so the addresses of the stubs are constants.
// The gates need constants, because no relocation splits an address into the fields of a gate. The
// section is loaded first, so it is present even on a machine whose memory ends within the image.
global_asm!(
    r#"
    .section .text.first, "ax"
    .code32
    .global boot_stubs
    .balign 4096
boot_stubs:
    .set vector, 0
    .rept 32
        .org boot_stubs + vector * 16, 0xcc
        .if (({error_codes} >> vector) & 1) == 0
            push 0
        .endif
        push vector
        jmp boot_exception
        .set vector, vector + 1
    .endr
    .org boot_stubs + 32 * 16, 0xcc
    inc dword ptr [{nmis} - {base}]
    iretd
    .org boot_stubs + 33 * 16, 0xcc
    .code64
    inc dword ptr [rip + {nmis}]
    iretq
    .code32

    // 32-bit gates: interrupt gates with the 32-bit code segment. Vector 2 has the stub for NMIs.
    .balign 16
boot_idt32:
    .set vector, 0
    .rept 32
        .if vector == 2
            .set stub, {physical} + 32 * 16
        .else
            .set stub, {physical} + vector * 16
        .endif
        .short stub & 0xffff, 0x18
        .byte 0, 0x8e
        .short stub >> 16
        .set vector, vector + 1
    .endr

    // 64-bit gates. The table is loaded before long mode is active, and until then gate 2 is the
    // eight bytes at offset 16. In the 64-bit table these belong to vector 1 (#DB), which nothing
    // raises before the kernel has its own table.
    .balign 16
boot_idt64:
    .set vector, 0
    .rept 32
        .if vector == 1
            .set stub, {physical} + 32 * 16
            .short stub & 0xffff, 0x18
            .byte 0, 0x8e
            .short stub >> 16
            .quad 0
        .else
            .if vector == 2
                .set stub, {physical} + {base_low} + 33 * 16
            .else
                .set stub, {physical} + {base_low} + vector * 16
            .endif
            .short stub & 0xffff, 0x08
            .byte 0, 0x8e
            .short stub >> 16
            .long 0xffffffff, 0
        .endif
        .set vector, vector + 1
    .endr

    // The accessed bits are set, so that loading a selector does not write to the table.
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff    // 0x08: 64-bit code, as in the kernel's own table
    .quad 0x00cf93000000ffff    // 0x10: data
    .quad 0x00cf9b000000ffff    // 0x18: 32-bit code

    .global boot_gdt_pointer, boot_gdt_pointer64
    .global boot_idt32_pointer, boot_idt64_pointer, boot_idt64_pointer64
    .balign 8
boot_gdt_pointer:
    .short 4 * 8 - 1
    .long boot_gdt - {base}
boot_gdt_pointer64:
    .short 4 * 8 - 1
    .quad boot_gdt
boot_idt32_pointer:
    .short 32 * 8 - 1
    .long boot_idt32 - {base}
boot_idt64_pointer:
    .short 32 * 16 - 1
    .long boot_idt64 - {base}
boot_idt64_pointer64:
    .short 32 * 16 - 1
    .quad boot_idt64

    // The stack of the first 32-bit instructions: messages and the frame of an NMI.
    .global boot_first_stack_top
    .balign 16
    .skip 256
boot_first_stack_top:

    // From here on the code runs in both modes.
boot_exception:
    cld
    pop ebx                     // The vector.
    pop eax                     // The error code or 0.
    pop edi                     // EIP, or the lower half of RIP.
    call boot_print
    .asciz "tocsin: cannot start: exception 0x"
    mov eax, ebx
    shr eax, 4
    call boot_print_digit
    mov eax, ebx
    call boot_print_digit
    call boot_print
    .asciz " in the entry code, at 0x"
    mov ebx, 8
2:  rol edi, 4
    mov eax, edi
    call boot_print_digit
    sub ebx, 1
    jnz 2b
    call boot_print
    .asciz " (lower 32 bits of the address)\r\n"

    // Ends QEMU with the status of a stopped kernel; other machines halt.
    .global boot_stop
boot_stop:
    mov eax, {stopped}
    mov dx, {debug_exit}
    out dx, eax
3:  cli
    hlt
    jmp 3b

    // Prints the zero-terminated text behind the call. Clobbers EAX, ECX, EDX, ESI.
    .global boot_print
boot_print:
    pop esi
4:  lodsb
    test al, al
    jz 5f
    call boot_print_byte
    jmp 4b
5:  push esi
    ret

    // Prints the low four bits of EAX as a hexadecimal digit.
boot_print_digit:
    and eax, 15
    cmp eax, 10
    jb 6f
    add eax, 39
6:  add eax, 48

    // Prints AL. The transmitter is as firmware left it; a byte that it does not accept is lost.
boot_print_byte:
    mov ah, al
    mov dx, {com1} + 5
    mov ecx, 0x100000
7:  in al, dx
    test al, 0x20
    loopz 7b
    mov dx, {com1}
    mov al, ah
    out dx, al
    ret

    .macro need bit, name
        test edi, 1 << \bit
        jnz 8f
        call boot_lacks
        .asciz "\name (CPUID.01H:EDX bit \bit"
        jmp boot_lacks_end
    8:
    .endm

    // Stops with a message unless the processor has what compiled code uses. Compiled code contains
    // CMOVcc, CMPXCHG8B, LFENCE, MFENCE, RDTSC and RDMSR without asking for them. Clobbers EAX to
    // EDX and EDI.
    .global boot_check_processor
boot_check_processor:
    mov eax, 1
    cpuid
    mov edi, edx
    need 4, TSC
    need 5, MSR
    need 6, PAE
    need 8, CMPXCHG8B
    need 15, CMOV
    need 26, SSE2
    ret
boot_lacks:
    call boot_print
    .asciz "tocsin: cannot start: the processor lacks "
    jmp boot_print
boot_lacks_end:
    call boot_print
    .asciz "), which the kernel needs; use another processor model\r\n"
    jmp boot_stop
    .code64
    .text
    "#,
    error_codes = const ERROR_CODE_VECTORS,
    nmis = sym EARLY_NMIS,
    base = const layout::KERNEL,
    base_low = const layout::KERNEL & 0xffff_ffff,
    physical = const layout::IMAGE_PHYSICAL,
    stopped = const exit::BASE + exit::STOPPED as u32,
    debug_exit = const crate::hw::power::DEBUG_EXIT,
    com1 = const crate::console::COM1,
);
