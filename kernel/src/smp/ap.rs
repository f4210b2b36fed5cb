//! The initialisation of an AP in the kernel, and its idle loop.

use core::sync::atomic::Ordering;

use tocsin_logic::smp::Stage;
use tocsin_logic::topology::CpuId;
use tocsin_logic::vector::PriorityClass;
use x86_64::instructions::interrupts;

use super::slot::Slot;
use super::{RELEASED, tsc_sync};
use crate::fn_cell::FnCell;
use crate::hw::processor::{enable_and_halt, halt_forever};
use crate::{apic, hw, memory, trap};

/// Masks all classes except 15: see the documentation of [`smp`](super).
const BARRIER_CLASS: PriorityClass = PriorityClass::new(14).expect("a class is 0 to 15");

/// Called by the trampoline in 64-bit mode, on the AP's own stack.
pub(super) unsafe extern "C" fn entry(slot: &'static Slot) -> ! {
    report_stage(slot, Stage::Kernel);
    // SAFETY: This is the AP to which the block belongs, and it executes this once. Interrupts have
    // been disabled since INIT. Its stacks were mapped before it was started.
    unsafe { trap::init_ap(slot.cpu) };
    // The trampoline's page may still be in the TLB, at an address that is about to be unmapped.
    memory::tlb::flush_all();
    report_stage(slot, Stage::Tables);
    let lints = super::lint_entries(CpuId(slot.cpu.id()));
    // SAFETY: Interrupts are off.
    if unsafe { apic::local().set_up(lints) }.is_err() {
        halt_forever();
    }
    report_stage(slot, Stage::LocalApic);

    hw::control::set_priority_class(BARRIER_CLASS);
    report_stage(slot, Stage::Ready);
    while !RELEASED.load(Ordering::Acquire) {
        enable_and_halt();
        interrupts::disable();
        tsc_sync::serve();
    }
    memory::tlb::flush_all();
    hw::control::set_priority_class(PriorityClass::LOWEST);
    idle()
}

/// Stores the stage; halts if the boot CPU has abandoned this AP.
fn report_stage(slot: &Slot, stage: Stage) {
    if !slot.reach(stage) {
        halt_forever();
    }
}

/// Executes a job that another CPU has given to this one. Called with interrupts disabled. If there
/// was a job, returns true with interrupts enabled.
pub(crate) static NEXT_JOB: FnCell<fn() -> bool> = FnCell::empty();

/// Executes jobs, and sleeps between them.
fn idle() -> ! {
    loop {
        // Disabled, so that a job given between the check and the `hlt` still wakes the CPU.
        interrupts::disable();
        if !NEXT_JOB.get().is_some_and(|execute| execute()) {
            enable_and_halt();
        }
    }
}
