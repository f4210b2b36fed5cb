//! The report of a fault or panic.
//!
//! It takes no lock that the faulting code may hold forever, allocates nothing, and reads only
//! memory that the page tables map. If the report itself faults, a shorter report is printed.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use tocsin_logic::error_code::ErrorCode;
use tocsin_logic::exception::{self, ErrorCodeKind};
use tocsin_logic::exit;
use tocsin_logic::layout::{self, AddressKind};
use tocsin_logic::registers;
use x86_64::registers::control::{Cr0, Cr2, Cr3, Cr4};
use x86_64::registers::debug::Dr6;

use super::backtrace;
use super::stop_cpus::{self, Role};
use super::symbols::Code;
use crate::cpu::machine_check;
use crate::cpu::trap_frame::TrapFrame;
use crate::cpu_local::{PerCpu, current};
use crate::hw::{power, processor};
use crate::{boot, console};

const DEBUG: u8 = 1;
const DOUBLE_FAULT: u8 = 8;
const PAGE_FAULT: u8 = 14;
const MACHINE_CHECK: u8 = 18;

crate::cpu_local! {
    /// The depth of fault reports being printed; above 1, a report has faulted itself.
    static REPORTS: AtomicU32 = AtomicU32::new(0);
}

/// Records the start of a fault report. Returns the number of active reports, 1 for the first.
pub(crate) fn enter(cpu: PerCpu) -> u32 {
    REPORTS.of(cpu).fetch_add(1, Ordering::Relaxed) + 1
}

/// The number of fault reports being printed.
pub(crate) fn depth(cpu: PerCpu) -> u32 {
    REPORTS.of(cpu).load(Ordering::Relaxed)
}

/// Records the end of a report after which the CPU continues.
pub(crate) fn leave(cpu: PerCpu) {
    REPORTS.of(cpu).fetch_sub(1, Ordering::Relaxed);
}

/// Writes further lines of a report, if the exception has any.
pub(crate) type Details<'a> = &'a dyn Fn(&mut dyn Write) -> fmt::Result;

/// Reports the exception in `frame`, after which the interrupted code continues.
pub(crate) fn exception(cpu: PerCpu, frame: &TrapFrame, details: Details<'_>) {
    match console::seize(|| !stop_cpus::is_requested()) {
        // A console never reports an error.
        Some(mut out) => drop(write_exception(&mut out, cpu, frame, details)),
        None => stop_cpus::stop_if_requested(cpu, frame.rip),
    }
}

/// Reports the exception in `frame`, and stops the kernel. If the CPU is already reporting, it
/// reports that its report has failed.
pub(crate) fn fatal_exception(cpu: PerCpu, frame: &TrapFrame, details: Details<'_>) -> ! {
    let vector = frame.vector as u8;
    let (mnemonic, name) = exception::exception(vector).map_or(("interrupt", ""), |exception| {
        (exception.mnemonic, exception.name)
    });
    let note = format_args!("{mnemonic} {name} at {}", Code(frame.rip));
    panic_stop(cpu, note, |out, again| {
        if again {
            return writeln!(
                out,
                "\n#### CPU {}: {mnemonic} (vector {vector}) at {:#018x} while reporting the fault above",
                cpu.id(),
                frame.rip
            );
        }
        write_exception(out, cpu, frame, details)
    })
}

/// Reports a panic of the code that calls it, and stops the kernel.
pub(crate) fn panic(info: &PanicInfo<'_>) -> ! {
    let cpu = current();
    enter(cpu);
    let (rip, rbp, rsp) = processor::position();
    let message = info.message();
    let location = info.location();
    panic_stop(cpu, format_args!("{}", Short(info)), |out, again| {
        rule(out, format_args!("CPU {}: kernel panic", cpu.id()))?;
        writeln!(out, "  what        {message}")?;
        if let Some(location) = location {
            writeln!(out, "  where       {location}")?;
        }
        if again {
            return Ok(());
        }
        backtrace::write(out, rip, rbp, rsp)
    })
}

/// A panic message in one line.
struct Short<'a>(&'a PanicInfo<'a>);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "kernel panic: {}", self.0.message())?;
        match self.0.location() {
            Some(location) => write!(f, ", at {location}"),
            None => Ok(()),
        }
    }
}

/// Runs the panic stop on `cpu`: the first CPU calls `write` for a report, and adds the states of
/// the others; any other CPU leaves a `note` for the first one. The argument of `write` is whether
/// the CPU was already reporting.
fn panic_stop(
    cpu: PerCpu,
    note: fmt::Arguments<'_>,
    write: impl FnOnce(&mut console::Report, bool) -> fmt::Result,
) -> ! {
    let role = stop_cpus::begin(cpu);
    if role == Role::Other {
        stop_cpus::halt_with_note(cpu, note);
    }
    if role == Role::Reporter {
        stop_cpus::stop_others();
    }
    let mut out = take_console();
    out.close_prompt();
    if role == Role::Reporter {
        stop_cpus::wait_for_others();
    }
    let again = role == Role::NestedReporter || depth(cpu) > 1;
    // A console never reports an error.
    let _ = write(&mut out, again);
    if role == Role::Reporter {
        let _ = stop_cpus::write_others(&mut out);
    }
    drop(out);
    stop()
}

/// Takes the console as soon as it is available.
pub(crate) fn take_console() -> console::Report {
    loop {
        if let Some(report) = console::seize(|| true) {
            return report;
        }
    }
}

/// Stops the kernel after a report: prints a last line, and exits QEMU with the status for a fatal
/// error; a machine that cannot exit halts.
pub(crate) fn stop() -> ! {
    let _ = rule(
        &mut take_console(),
        format_args!("CPU {} stopped", current().id()),
    );
    power::power_off(exit::STOPPED)
}

fn write_exception(
    out: &mut dyn Write,
    cpu: PerCpu,
    frame: &TrapFrame,
    details: Details<'_>,
) -> fmt::Result {
    let vector = frame.vector as u8;
    let Some(exception) = exception::exception(vector) else {
        return Ok(());
    };
    rule(
        out,
        format_args!(
            "CPU {}: {} {} (vector {vector})",
            cpu.id(),
            exception.mnemonic,
            exception.name
        ),
    )?;
    writeln!(out, "  at          {}", Code(frame.rip))?;
    if exception.error_code != ErrorCodeKind::None {
        writeln!(
            out,
            "  error code  {}",
            ErrorCode::new(vector, frame.error_code)
        )?;
    }
    match vector {
        // CR2 belongs to #PF. After #DF it is usually that of the fault which could not be
        // delivered, such as a push to the guard page.
        PAGE_FAULT | DOUBLE_FAULT => {
            let address = Cr2::read_raw();
            writeln!(
                out,
                "  address     {address:#018x} (CR2): {}",
                Address(address)
            )?;
        }
        DEBUG => {
            let status = Dr6::read_raw();
            writeln!(out, "  status      DR6 {}", registers::dr6(status))?;
            // The processor only ever sets these bits (SDM vol. 3B, 19.2.3).
            crate::hw::control::clear_debug_status();
        }
        MACHINE_CHECK => machine_check::write(out)?,
        _ => details(out)?,
    }
    write_stack_use(out, frame.rsp)?;
    write_registers(out, frame)?;
    backtrace::write(out, frame.rip, frame.rbp, frame.rsp)
}

/// An address with its description; within the kernel image, with its section.
struct Address(u64);

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match boot::image::sections()
            .iter()
            .find(|section| section.range.contains(&self.0))
        {
            Some(section) => write!(f, "kernel image, section {}", section.name),
            None => write!(f, "{}", layout::describe(self.0)),
        }
    }
}

/// Writes which stack was in use, and how full it was.
fn write_stack_use(out: &mut dyn Write, rsp: u64) -> fmt::Result {
    // RSP may be exactly the top of an empty stack, which is the next slot's address.
    let described = layout::describe(rsp.wrapping_sub(1));
    if let AddressKind::Stack { cpu, kind, .. } = described {
        let range = layout::stack_range(cpu, kind);
        return writeln!(
            out,
            "  stack       CPU {cpu}'s {} stack, {} of {} bytes in use",
            kind.name(),
            range.end - rsp,
            range.end - range.start
        );
    }
    writeln!(out, "  stack       {described}")
}

fn write_registers(out: &mut dyn Write, frame: &TrapFrame) -> fmt::Result {
    let rows = [
        [("rax", frame.rax), ("rbx", frame.rbx), ("rcx", frame.rcx)],
        [("rdx", frame.rdx), ("rsi", frame.rsi), ("rdi", frame.rdi)],
        [("rbp", frame.rbp), ("rsp", frame.rsp), ("r8", frame.r8)],
        [("r9", frame.r9), ("r10", frame.r10), ("r11", frame.r11)],
        [("r12", frame.r12), ("r13", frame.r13), ("r14", frame.r14)],
        [("r15", frame.r15), ("rip", frame.rip), ("cr3", cr3())],
    ];
    for row in rows {
        for (name, value) in row {
            write!(out, "  {name:<4}{value:#018x}")?;
        }
        writeln!(out)?;
    }
    writeln!(out, "  cs  {:#06x}  ss  {:#06x}", frame.cs, frame.ss)?;
    writeln!(out, "  rflags  {}", registers::rflags(frame.rflags))?;
    writeln!(out, "  cr0     {}", registers::cr0(Cr0::read_raw()))?;
    writeln!(out, "  cr4     {}", registers::cr4(Cr4::read_raw()))
}

fn cr3() -> u64 {
    let (frame, flags) = Cr3::read_raw();
    frame.start_address().as_u64() | u64::from(flags)
}

/// Writes `title` in a line of the report's width.
fn rule(out: &mut dyn Write, title: fmt::Arguments<'_>) -> fmt::Result {
    let mut line = arrayvec::ArrayString::<96>::new();
    // A title that is too long is truncated: the rest of the report matters more.
    let _ = write!(line, "#### {title} ");
    writeln!(out, "{line:#<78}")
}
