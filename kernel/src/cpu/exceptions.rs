//! What happens on each vector: which exceptions the kernel goes on after, and which end it.

use core::sync::atomic::Ordering;

use super::entry::TrapFrame;
use super::{interrupts, percpu, report};

/// Vector numbers that are treated apart.
const DEBUG: u8 = 1;
const NMI: u8 = 2;
const BREAKPOINT: u8 = 3;
const MACHINE_CHECK: u8 = 18;

/// RFLAGS.TF: single-step.
const TRAP_FLAG: u64 = 1 << 8;

/// Called by the entry code for every vector.
pub(super) extern "C" fn handle(frame: &mut TrapFrame) {
    // The stubs push nothing above 255.
    let vector = frame.vector as u8;
    if vector >= interrupts::FIRST {
        return interrupts::dispatch_without_eoi(frame);
    }
    let cpu = percpu::current();
    if vector == NMI && cpu.trace.wanted.swap(false, Ordering::Acquire) {
        return report::capture(cpu, frame);
    }
    if cpu.enter_report() > 1 {
        report::faulted_again(cpu, frame);
        report::stop();
    }
    report::exception(cpu, frame);
    if !may_continue(frame) {
        report::stop();
    }
    if vector == DEBUG {
        // Reported once is enough: without this, single-stepping reports every instruction.
        frame.rflags &= !TRAP_FLAG;
    }
    cpu.leave_report();
}

/// Whether the interrupted code can go on as if nothing had happened.
///
/// Breakpoints and debug traps are somebody's tool. An NMI says nothing about the code it
/// interrupts. A machine check can be survived if the processor says so (`MCG_STATUS.RIPV`;
/// SDM vol. 3B, 17.3.1.2) and every error in the banks is a corrected one.
fn may_continue(frame: &TrapFrame) -> bool {
    match frame.vector as u8 {
        DEBUG | NMI | BREAKPOINT => true,
        MACHINE_CHECK => super::machine_check::is_survivable(),
        _ => false,
    }
}
