//! The delivery of interrupts and exceptions: from the gate in the IDT to the handler and back.
//!
//! All CPUs use the same IDT, which is read-only before a second CPU loads it. Its 256 gates lead
//! to the stubs in [`entry`]. The exceptions continue in [`exceptions`], an NMI in [`nmi`], and
//! interrupts of the local APIC in `interrupt`, which calls the handlers in the CPU's table
//! ([`cpu::handlers`]).

pub(crate) mod call;
pub mod entry;
pub mod exceptions;
pub mod fixup;
pub mod idt;
mod interrupt;
pub mod leaf;
#[cfg(feature = "bench")]
pub(crate) mod measured_entry;
pub mod nmi;
pub mod spurious;
pub mod stack_use;

use tocsin_logic::layout::{StackKind, stack_range};

use crate::cpu::{self, PerCpu, current, segments};
use crate::hw::control;

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
    unsafe { cpu::use_own_stacks() };
    idt::load();
    cpu::machine_check::set_up();
}
