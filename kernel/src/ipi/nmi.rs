//! NMIs from CPU to CPU, which are delivered even while interrupts are disabled.
//!
//! [`crate::trap::nmi`] has the handler; this module has the senders.

use core::fmt;
use core::sync::atomic::Ordering;

use crate::panic::backtrace::TRACE;
use crate::trap::nmi::NMI;
use arrayvec::ArrayVec;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::backtrace;
use tocsin_logic::irq::context::Level;
use tocsin_logic::irq::nmi::Cause;

use crate::apic::local;
use crate::cpu::{self, PerCpu, context};
use crate::ipi::{self, Callback, Offline};
use crate::panic::stop_cpus::{self, Others};
use crate::panic::symbols::Code;
use crate::smp::{self, Online};
use crate::time;

/// Timeout of a reply to an NMI, in nanoseconds. It is long, because a virtual CPU may have to wait
/// until the host schedules it.
const TIMEOUT: u64 = 2_000_000_000;

/// The call stack of a CPU, innermost call first.
#[derive(Clone, Debug)]
pub struct Backtrace {
    calls: ArrayVec<u64, { backtrace::LIMIT }>,
}

impl Backtrace {
    /// The addresses in the functions, innermost first.
    ///
    /// Context: any.
    pub fn calls(&self) -> impl Iterator<Item = Code> {
        self.calls.iter().map(|&call| Code(call))
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, call) in self.calls().enumerate() {
            writeln!(f, "    {number:>2}  {call}")?;
        }
        Ok(())
    }
}

/// The reason why an NMI request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NmiError {
    /// The CPU is not online.
    Offline(Offline),
    /// Another CPU has a request in progress on this CPU.
    Busy(u32),
    /// The CPU did not reply, not even to an NMI.
    Silent(u32),
}

impl From<Offline> for NmiError {
    fn from(offline: Offline) -> Self {
        Self::Offline(offline)
    }
}

impl fmt::Display for NmiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(offline) => offline.fmt(f),
            Self::Busy(cpu) => write!(f, "CPU {cpu} serves a request of another CPU (retry)"),
            Self::Silent(cpu) => write!(f, "CPU {cpu} does not respond to an NMI"),
        }
    }
}

impl core::error::Error for NmiError {}

/// Interrupts CPU number `cpu` by NMI and returns its backtrace.
///
/// Context: any but NMI. Two CPUs in NMI handlers could wait for each other forever.
///
/// # Errors
///
/// [`NmiError`], if the CPU is offline or busy, or does not reply.
///
/// # Panics
///
/// In an NMI handler.
#[track_caller]
pub fn backtrace_of(cpu: u32) -> Result<Backtrace, NmiError> {
    context::require("nmi::backtrace_of", Level::InterruptsOff);
    request_backtrace(cpu, Cause::Backtrace)
}

/// As [`backtrace_of`], counted as a request of the watchdog.
pub(crate) fn backtrace_for_watchdog(cpu: u32) -> Result<Backtrace, NmiError> {
    request_backtrace(cpu, Cause::Watchdog)
}

fn request_backtrace(cpu: u32, cause: Cause) -> Result<Backtrace, NmiError> {
    let target = ipi::find(cpu)?;
    let trace = TRACE.of(target.cpu);
    if trace.taken.swap(true, Ordering::Acquire) {
        return Err(NmiError::Busy(cpu));
    }
    trace.length.store(0, Ordering::Release);
    NMI.of(target.cpu).request(cause);
    let result = send(target).and_then(|()| wait_for_backtrace(target));
    trace.taken.store(false, Ordering::Release);
    result
}

fn wait_for_backtrace(target: &Online) -> Result<Backtrace, NmiError> {
    let trace = TRACE.of(target.cpu);
    let length = || trace.length.load(Ordering::Acquire);
    if !time::wait_until(TIMEOUT, || length() > 0) {
        return Err(NmiError::Silent(target.cpu.id()));
    }
    let calls = trace.calls[..length()].iter();
    let calls = calls.map(|call| call.load(Ordering::Relaxed)).collect();
    Ok(Backtrace { calls })
}

/// Makes CPU number `cpu` call `function` in its NMI handler, without waiting.
///
/// Context: any.
///
/// # Errors
///
/// [`NmiError`], if the CPU cannot accept the request.
///
/// # Safety
///
/// The type of the function does not show that it is suitable: the caller guarantees it. The
/// function may interrupt its CPU between any two instructions, with interrupts disabled, locks
/// taken and per-CPU data half changed. It may only use atomics and functions whose `Context` is
/// "any": it must not take locks, wait, allocate, print, use timers, lines or calls, or fault.
pub unsafe fn call(cpu: u32, function: Callback, argument: usize) -> Result<(), NmiError> {
    let target = ipi::find(cpu)?;
    if !NMI.of(target.cpu).request_call(function, argument) {
        return Err(NmiError::Busy(cpu));
    }
    send(target)
}

fn send(target: &Online) -> Result<(), NmiError> {
    local()
        .send_nmi(Destination::Physical(target.apic_id))
        .map_err(|_| NmiError::Offline(Offline(target.cpu.id())))
}

/// Registers the functions with which a panic stop stops the other CPUs. Called once, before other
/// CPUs run.
pub(crate) fn set_up() {
    stop_cpus::set_others(Others {
        each: for_each_other,
        stop: request_stop,
    });
}

fn for_each_other(visit: &mut dyn FnMut(PerCpu)) {
    let own = cpu::current().id();
    smp::all()
        .iter()
        .map(|online| online.cpu)
        .filter(|cpu| cpu.id() != own)
        .for_each(visit);
}

fn request_stop(cpu: PerCpu) {
    NMI.of(cpu).request(Cause::Stop);
    // A failed send is treated as a missing reply, which the report shows.
    let _ = ipi::find(cpu.id())
        .map_err(NmiError::Offline)
        .and_then(send);
}
