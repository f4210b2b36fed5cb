//! The state of one processor: its descriptor tables, its stacks, its exceptions.
//!
//! All CPUs share one IDT, whose page is read-only before a second CPU loads it. Each has its own
//! GDT, TSS and stacks. #DF, NMI, #MC and #DB run on IST stacks of their own, because they may
//! occur while the stack is unusable or its pointer is not the kernel's. No other vector uses the
//! IST, because a second delivery through the same IST entry starts at the same top and overwrites
//! the first.

pub mod context;
pub mod ending;
pub mod entry;
pub mod exceptions;
pub mod idt;
mod interrupt_entry;
pub mod interrupt_stack;
pub mod interrupts;
pub mod machine_check;
#[cfg(feature = "bench")]
pub(crate) mod measured_entry;
pub mod nmi;
pub mod probe;
pub mod report;
mod segments;
pub mod stray;
pub mod stretch;
pub mod symbols;

use tocsin_logic::layout::{StackKind, stack_range};

pub use crate::cpu_local::{PerCpu, current};
use crate::hw::control;
use interrupts::INTERRUPTS;

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

/// Makes the boot CPU able to report a fault: control registers, GDT, TSS, IDT.
///
/// # Safety
///
/// Must be called once, on the boot CPU, interrupts off.
pub(crate) unsafe fn init_boot_cpu() {
    // SAFETY: Interrupts are off. The loaders' page tables have WP and NX semantics already: the
    // image's sections are mapped with at least the rights they need.
    unsafe { control::set_up() };
    let cpu = current();
    // SAFETY: The block belongs to this CPU permanently. Nothing refers to its tables yet.
    unsafe { segments::load(cpu, segments::EARLY_EXCEPTION_STACK.top()) };
    // SAFETY: No other code uses the table yet. It is writable, because the loader's tables map it
    // so.
    unsafe { idt::fill() };
    idt::load();
}

/// Makes an AP able to report a fault, with `cpu` as its per-CPU block and stacks that are mapped.
///
/// # Safety
///
/// Once on each AP, with its own block, interrupts off.
pub(crate) unsafe fn init_ap(cpu: PerCpu) {
    // SAFETY: Interrupts are off, and the page tables are the kernel's own.
    unsafe { control::set_up() };
    // SAFETY: The caller guarantees it.
    unsafe { segments::load(cpu, stack_range(cpu.id(), StackKind::DoubleFault).end) };
    // SAFETY: The caller guarantees it. No exception has occurred yet.
    unsafe { use_own_stacks() };
    idt::load();
    machine_check::set_up();
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
    unsafe { entry::switch_stack(top, next) }
}
