//! Backtraces of this CPU, and the recording of one for another CPU.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use tocsin_logic::backtrace;
use tocsin_logic::layout::{self, AddressKind};

use super::symbols::Code;
use crate::cpu::PerCpu;
use crate::cpu::trap_frame::TrapFrame;
use crate::{boot, memory};

/// The call chain that an NMI handler has recorded for another CPU; see `ipi::nmi`.
#[derive(Debug)]
pub(crate) struct Trace {
    /// Set while another CPU has a request in progress.
    pub(crate) taken: AtomicBool,
    /// The number of recorded calls; stored last. 0 until then.
    pub(crate) length: AtomicUsize,
    pub(crate) calls: [AtomicU64; backtrace::LIMIT],
}

crate::cpu_local! {
    pub(crate) static TRACE: Trace = Trace {
        taken: AtomicBool::new(false),
        length: AtomicUsize::new(0),
        calls: [const { AtomicU64::new(0) }; backtrace::LIMIT],
    };
}

/// Writes the backtrace: `rip`, then the return addresses found through the frame pointers.
pub(super) fn write(out: &mut dyn Write, rip: u64, rbp: u64, rsp: u64) -> fmt::Result {
    writeln!(out, "  backtrace")?;
    let stack = stack_around(rsp);
    let mut frames = backtrace::walk(rip, rbp, |address| stack.contains(&address), read);
    for (number, address) in frames.by_ref().enumerate() {
        // A return address may be the first of the next function; the call is before it.
        let call = if number == 0 {
            address
        } else {
            address.wrapping_sub(1)
        };
        writeln!(out, "    {number:>2}  {}", Code(call))?;
    }
    match frames.stop() {
        Some(stop) if !stop.is_complete() => writeln!(out, "        {stop}"),
        _ => Ok(()),
    }
}

/// Records the call chain that `frame` interrupted, for another CPU to print: an NMI handler must
/// not wait for the console, which the interrupted code may hold.
pub(crate) fn capture(cpu: PerCpu, frame: &TrapFrame) {
    let stack = stack_around(frame.rsp);
    let on_stack = |address: u64| stack.contains(&address);
    let mut length = 0;
    for (address, slot) in
        backtrace::walk(frame.rip, frame.rbp, on_stack, read).zip(&TRACE.of(cpu).calls)
    {
        // As in a report: the call is before its return address.
        let call = if length == 0 {
            address
        } else {
            address.wrapping_sub(1)
        };
        slot.store(call, Ordering::Relaxed);
        length += 1;
    }
    TRACE.of(cpu).length.store(length, Ordering::Release);
}

/// The bounds of the stack that `rsp` points into.
pub(crate) fn stack_around(rsp: u64) -> core::ops::Range<u64> {
    match layout::describe(rsp) {
        AddressKind::Stack { cpu, kind, .. } | AddressKind::StackGuard { cpu, kind } => {
            layout::stack_range(cpu, kind)
        }
        // The first stack is inside the image.
        _ => boot::image::virtual_range(),
    }
}

/// The word at `address`, if it can be read without a fault.
pub(crate) fn read(address: u64) -> Option<u64> {
    let last = address.checked_add(7)?;
    if !address.is_multiple_of(8)
        || !memory::paging::is_mapped(address)
        || !memory::paging::is_mapped(last)
    {
        return None;
    }
    // SAFETY: Both ends are mapped and in one page, because the address is aligned.
    Some(unsafe { (address as *const u64).read_volatile() })
}
