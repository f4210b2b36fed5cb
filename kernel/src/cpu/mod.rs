//! The state of a CPU: its descriptor tables, its stacks, its handler table, its machine-check
//! registers and its execution context.
//!
//! Each CPU has its own GDT, TSS and stacks. #DF, NMI, #MC and #DB run on IST stacks of their own,
//! because they may occur while the stack is unusable or its pointer is not the kernel's. No other
//! vector uses the IST, because a second delivery through the same IST entry starts at the same top
//! and overwrites the first.

pub mod context;
pub mod handlers;
pub mod machine_check;
pub(crate) mod segments;
pub mod trap_frame;

use core::arch::naked_asm;

use tocsin_logic::layout::{StackKind, stack_range};

pub use crate::cpu_local::{PerCpu, current};
use handlers::INTERRUPTS;

/// A function that runs on a CPU at the request of another: a called function, a function called in
/// the NMI handler, or deferred work. The operation that requests it documents the context in which
/// it runs. It has the C ABI, because entry code calls it.
pub type Callback = extern "C" fn(argument: usize);

/// Sets the boot CPU's per-CPU block, in which locks keep their state.
///
/// # Safety
///
/// Must be called once, on the boot CPU, before any lock is taken.
pub(crate) unsafe fn use_boot_block() {
    // SAFETY: The caller guarantees it.
    let cpu = unsafe { PerCpu::boot_cpu() };
    // SAFETY: The area belongs to this CPU.
    unsafe { cpu.install() };
}

/// Sets the exception stacks and the interrupt stack that `memory::stacks` mapped for this CPU.
///
/// # Safety
///
/// The stacks must be mapped. Not while one of the exceptions is being handled.
pub(crate) unsafe fn use_own_stacks() {
    let cpu = current();
    for kind in StackKind::ALL {
        let top = stack_range(cpu.id(), kind).end;
        if let Some(ist) = kind.ist() {
            // SAFETY: The caller guarantees it. The processor reads the TSS at each delivery.
            unsafe { segments::set_exception_stack(cpu, ist, top) };
        }
        if kind == StackKind::Interrupt {
            INTERRUPTS.of(cpu).set_stack(top);
        }
    }
}

/// Continues with `next` on this CPU's thread stack and never returns.
///
/// # Safety
///
/// The stack must be mapped and unused.
pub(crate) unsafe fn continue_on_thread_stack(next: extern "C" fn() -> !) -> ! {
    let top = stack_range(current().id(), StackKind::Thread).end;
    // SAFETY: The caller guarantees it. `next` never returns to the previous stack.
    unsafe { switch_stack(top, next) }
}

/// Switches to the stack that ends at `top` and calls `next` on it.
///
/// # Safety
///
/// `top` must be the end of mapped, unused memory, a multiple of 16.
#[unsafe(naked)]
unsafe extern "C" fn switch_stack(top: u64, next: extern "C" fn() -> !) -> ! {
    // The zeroed RBP ends the chain of frame pointers.
    naked_asm!("mov rsp, rdi", "xor ebp, ebp", "call rsi", "ud2")
}
