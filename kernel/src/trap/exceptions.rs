//! The handling of each vector: the exceptions after which the kernel continues, and the fatal
//! ones.

use core::fmt::Write;

use super::nmi::{self, NMI, VECTOR};
use super::{fixup, interrupt};
use crate::cpu::handlers::{self, UNDEFINED};
use crate::cpu::machine_check;
use crate::cpu::trap_frame::TrapFrame;
use crate::cpu_local::current;
use crate::panic::report;

/// Vectors with special handling.
const DEBUG: u8 = 1;
const BREAKPOINT: u8 = 3;
const PAGE_FAULT: u8 = 14;
const MACHINE_CHECK: u8 = 18;

/// RFLAGS.TF: single-step.
const TRAP_FLAG: u64 = 1 << 8;

/// RFLAGS.RF: pass an instruction breakpoint.
const RESUME_FLAG: u64 = 1 << 16;

/// Called by the entry code for every vector that it does not dispatch itself.
pub(super) extern "C" fn handle(frame: &mut TrapFrame) {
    // First, because it is the only one that may be frequent.
    if matches!(frame.vector as u8, UNDEFINED | PAGE_FAULT) && fixup::recover(frame) {
        return;
    }
    handle_other(frame);
}

#[inline(never)]
fn handle_other(frame: &mut TrapFrame) {
    // The stubs push only values up to 255.
    let vector = frame.vector as u8;
    if vector >= handlers::FIRST {
        return interrupt::dispatch_without_eoi(frame);
    }
    let cpu = current();
    if vector == VECTOR && nmi::handle(cpu, frame) {
        return;
    }
    let details = |out: &mut dyn Write| match vector {
        VECTOR => NMI.of(cpu).write(out),
        _ => Ok(()),
    };
    if report::enter(cpu) > 1 || !may_continue(frame) {
        report::fatal_exception(cpu, frame, &details);
    }
    report::exception(cpu, frame, &details);
    if vector == VECTOR {
        NMI.of(cpu).end_report();
    }
    if vector == MACHINE_CHECK {
        machine_check::clear_status();
    }
    if vector == DEBUG {
        // One report is enough: without this, single-stepping reports every instruction.
        frame.rflags &= !TRAP_FLAG;
        // An instruction breakpoint is reported before its instruction executes, and would be
        // reported again (SDM vol. 3B, 19.3.1.1).
        frame.rflags |= RESUME_FLAG;
    }
    report::leave(cpu);
}

/// Whether the interrupted code can continue.
///
/// Breakpoints and debug traps belong to a debugging tool. An NMI is unrelated to the code that it
/// interrupts. A machine check is survivable if the processor reports so (`MCG_STATUS.RIPV`; SDM
/// vol. 3B, 17.3.1.2) and every error in the banks was corrected or not enabled, except where its
/// IRET would let an NMI overwrite the frame of another.
fn may_continue(frame: &TrapFrame) -> bool {
    match frame.vector as u8 {
        DEBUG | VECTOR | BREAKPOINT => true,
        MACHINE_CHECK => machine_check::is_survivable() && !nmi::needs_frame(frame.rip),
        _ => false,
    }
}
