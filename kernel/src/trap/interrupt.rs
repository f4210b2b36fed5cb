//! The interrupt path from the stub to the handler and back. It has few instructions, takes no
//! lock, and accesses no data that other CPUs write.
//!
//! It saves the nine registers that a function may change, and calls the function that the CPU's
//! table has for the vector; see [`crate::cpu::handlers`]. An interrupt of a thread switches to the
//! interrupt stack; a nested interrupt is already on it. Each of the two cases has its own path,
//! with only the instructions that it needs. Both paths exist twice, because the EOI is a different
//! instruction in xAPIC and x2APIC mode; each mode has an IDT (see [`super::idt`]). The entry code
//! counts the interrupts of each vector, and stores the vector of each nesting depth, from which
//! the class of the running code is known without reading the local APIC.
//!
//! The vector of calls has a path that removes the call from the mailbox and runs its function
//! directly. This saves 13 of 61 instructions.
//!
//! A software interrupt has no EOI and no priority: its function runs with interrupts disabled, on
//! the current stack.

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::Ordering;

use tocsin_logic::apic::Mode;
use tocsin_logic::irq::mailbox::{self, Call, Mailbox};
use tocsin_logic::irq::table::Table;
use tocsin_logic::vector::{Vector, fixed};

use super::call::{self, CALLS, PENDING, RUNNING};
use super::spurious;
use crate::cpu::handlers::{self, Handler, INTERRUPTS, Interrupts, SOFTWARE};
use crate::cpu::trap_frame::TrapFrame;
use crate::fn_cell;

global_asm!(
    r#"
    .section .text.entry, "ax"

    // Only what the ABI lets a function change is saved. The stub has saved rsi, and put the vector
    // there.
    .macro save_volatile
    push rax
    push rcx
    push rdx
    push rdi
    push r8
    push r9
    push r10
    push r11
    cld
    .endm

    .macro restore_volatile
    pop r11
    pop r10
    pop r9
    pop r8
    pop rdi
    pop rdx
    pop rcx
    pop rax
    pop rsi
    .endm

    // The vector is saved in a debug build only, twice, because the stack must stay aligned.
    .macro call_function
    inc qword ptr gs:[{cpu} + {counts} + rsi * 8]
    mov rax, gs:[{cpu} + {functions} + rsi * 8]
    mov rdi, gs:[{cpu} + {contexts} + rsi * 8]
    .if {check_eoi}
        push rsi
        push rsi
    .endif
    sti
    call rax
    cli
    .endm

    // \x2apic selects the register of the local APIC.
    .macro end_interrupt x2apic, ended
    .if {check_eoi}
        mov edi, [rsp]
        call {needs_eoi}
        add rsp, 16
        test al, al
        jz \ended
    .endif
    .if \x2apic
        mov ecx, 0x80b              // EOI, as MSR.
        xor eax, eax
        xor edx, edx
        wrmsr
    .else
        mov rax, gs:[{cpu} + {apic_page}]
        mov dword ptr [rax + 0xb0], 0
    .endif
\ended:
    .endm

    .macro interrupt_path mode, x2apic
    // An interrupt of the local APIC, first from a thread: to the interrupt stack. The thread's
    // stack pointer is kept outside of it, because only one thread can be interrupted.
    .balign 64
    .global entry_interrupt_\mode
entry_interrupt_\mode:
    save_volatile
    inc dword ptr gs:[{cpu} + {depth}]
    jnz entry_nested_\mode
    mov byte ptr gs:[{cpu} + {vectors}], sil
    mov gs:[{cpu} + {thread_stack}], rsp
    mov rsp, gs:[{cpu} + {stack}]
    call_function
    end_interrupt \x2apic, entry_first_end_\mode
    mov rsp, gs:[{cpu} + {thread_stack}]
    dec dword ptr gs:[{cpu} + {depth}]
    restore_volatile
    iretq

    // From a handler: the stack is the right one, and aligned by now.
entry_nested_\mode:
    mov eax, gs:[{cpu} + {depth}]
    mov byte ptr gs:[{cpu} + {vectors} + rax], sil
    call_function
    end_interrupt \x2apic, entry_nested_end_\mode
    dec dword ptr gs:[{cpu} + {depth}]
    restore_volatile
    iretq
    .endm

    interrupt_path x2apic, 1
    interrupt_path xapic, 0

    .macro call_path mode, x2apic
    // A call, from a thread, as `CallList::serve`. The vector is stored in a debug build, as above.
    .balign 64
    .global entry_call_\mode
entry_call_\mode:
    push rsi
    save_volatile
    inc dword ptr gs:[{cpu} + {depth}]
    jnz 3f
    mov byte ptr gs:[{cpu} + {vectors}], {call}
    mov gs:[{cpu} + {thread_stack}], rsp
    mov rsp, gs:[{cpu} + {stack}]
    inc qword ptr gs:[{cpu} + {counts} + {call} * 8]
    .if {check_eoi}
        push {call}
        push {call}
    .endif
    xor eax, eax
    xchg gs:[{calls} + {newest}], rax
    test rax, rax
    jz 1f
    cmp qword ptr [rax + {next}], 0
    jne 2f
    mov gs:[{running}], rax
    mov rdi, [rax + {argument}]
    sti
    call [rax + {function}]
    cli
    mov rax, gs:[{running}]
    mov qword ptr [rax + {next}], {run}
1:  end_interrupt \x2apic, entry_call_end_\mode
    mov rsp, gs:[{cpu} + {thread_stack}]
    dec dword ptr gs:[{cpu} + {depth}]
    restore_volatile
    iretq
2:  mov rdi, rax                    // Several calls.
    sti
    call {run_list}
    cli
    jmp 1b
3:  mov esi, {call}
    jmp entry_nested_\mode
    .endm

    call_path x2apic, 1
    call_path xapic, 0

    // A software interrupt, on the interrupted stack, interrupts disabled. Without a handler, or if
    // the vector is in service, so this is no software interrupt, it takes the common path.
    .balign 64
    .global entry_software
entry_software:
    save_volatile
    cmp qword ptr gs:[{cpu} + {apic_page}], 0
    jne 2f
    mov ecx, 0x810 + {software} / 32 // ISR, as MSR.
    rdmsr
1:  test eax, 1 << ({software} % 32)
    jnz 3f
    mov rax, gs:[{cpu} + {functions} + rsi * 8]
    cmp rax, offset entry_unhandled
    je 3f
    inc qword ptr gs:[{cpu} + {counts} + rsi * 8]
    mov rdi, gs:[{cpu} + {contexts} + rsi * 8]
    call rax
    restore_volatile
    iretq
2:  mov rax, gs:[{cpu} + {apic_page}]
    mov eax, [rax + 0x100 + {software} / 32 * 16] // ISR, as register.
    jmp 1b
3:  restore_volatile
    push 0
    push {software}
    jmp entry_common

    // The function of the vectors without a handler. It returns past the EOI, if the vector is not
    // in service.
    .global entry_unhandled
entry_unhandled:
    sub rsp, 8
    call {handle_unhandled}
    add rsp, 8
    test al, al
    jz 1f
    ret
1:  add rsp, 8
    .if {check_eoi}
        add rsp, 16
    .endif
    cli
    cmp dword ptr gs:[{cpu} + {depth}], 0
    je entry_first_end_x2apic
    jmp entry_nested_end_x2apic     // Beyond the EOI, the modes do not differ.
    .text
    "#,
    software = const SOFTWARE,
    cpu = sym INTERRUPTS,
    depth = const offset_of!(Interrupts, depth),
    vectors = const offset_of!(Interrupts, vectors),
    stack = const offset_of!(Interrupts, stack),
    thread_stack = const offset_of!(Interrupts, thread_stack),
    apic_page = const offset_of!(Interrupts, apic_page),
    functions = const offset_of!(Interrupts, table) + <Table>::FUNCTIONS,
    contexts = const offset_of!(Interrupts, table) + <Table>::CONTEXTS,
    counts = const offset_of!(Interrupts, counts),
    call = const fixed::CALL.get(),
    calls = sym CALLS,
    newest = const <Mailbox<PENDING>>::NEWEST,
    next = const Call::NEXT,
    function = const Call::FUNCTION,
    argument = const Call::ARGUMENT,
    run = const mailbox::RUN,
    running = sym RUNNING,
    run_list = sym call::run_list,
    check_eoi = const cfg!(debug_assertions) as u8,
    needs_eoi = sym spurious::needs_eoi,
    handle_unhandled = sym spurious::handle_unhandled,
);

unsafe extern "C" {
    static entry_call_x2apic: u8;
    static entry_call_xapic: u8;
}

/// Address of the entry point of `vector`, if it has one here.
pub(super) fn entry(mode: Mode, vector: u8) -> Option<u64> {
    let code = match (Vector(vector), mode) {
        (fixed::CALL, Mode::X2Apic) => &raw const entry_call_x2apic,
        (fixed::CALL, Mode::XApic) => &raw const entry_call_xapic,
        _ => return None,
    };
    Some(code as u64)
}

/// Dispatches the vectors of [`handlers::WITHOUT_EOI`].
pub(crate) fn dispatch_without_eoi(frame: &TrapFrame) {
    // The stubs push only values up to 255.
    let vector = frame.vector as u8;
    let interrupts = INTERRUPTS.here();
    interrupts.counts[usize::from(vector)].fetch_add(1, Ordering::Relaxed);
    if spurious::end_if_in_service(vector) {
        return;
    }
    let (function, context) = interrupts.table.lookup(Vector(vector));
    if function == handlers::unhandled() {
        return spurious::log_unhandled(vector);
    }
    // SAFETY: All other functions in the table are `Handler`s.
    let handler: Handler = unsafe { fn_cell::from_address(function) };
    handler(context, vector);
}
