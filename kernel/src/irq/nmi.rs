//! Asking a CPU what it is doing, whatever that is: NMI gets through where interrupts are off.

use core::fmt;
use core::sync::atomic::Ordering;

use arrayvec::ArrayVec;
use tocsin_logic::apic::Icr;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::backtrace;

use crate::apic::local;
use crate::cpu::symbols::Code;
use crate::smp::{self, Online};
use crate::time;

/// How long a CPU may take to answer an NMI, in nanoseconds. Long, because a virtual CPU may have
/// to wait for its turn on the host.
const PATIENCE: u64 = 2_000_000_000;

/// The calls that a CPU was in, innermost first.
#[derive(Clone, Debug)]
pub struct Backtrace {
    calls: ArrayVec<u64, { backtrace::LIMIT }>,
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, &call) in self.calls.iter().enumerate() {
            writeln!(f, "    {number:>2}  {}", Code(call))?;
        }
        Ok(())
    }
}

/// Why there is no backtrace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NmiError {
    /// No CPU of this number is online.
    Offline(u32),
    /// Another CPU is asking it at this moment.
    Busy(u32),
    /// It did not answer even an NMI.
    Silent(u32),
}

impl fmt::Display for NmiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(cpu) => write!(f, "CPU {cpu} is not online; `cpus` lists those that are"),
            Self::Busy(cpu) => write!(f, "CPU {cpu} is being asked by another CPU"),
            Self::Silent(cpu) => write!(f, "CPU {cpu} does not answer an NMI"),
        }
    }
}

/// Interrupts CPU number `cpu` by NMI and tells what it was doing. Not from an NMI.
///
/// # Errors
///
/// [`NmiError`], if it cannot be asked or does not answer.
pub fn backtrace_of(cpu: u32) -> Result<Backtrace, NmiError> {
    let mut online = smp::online().into_iter().flat_map(|cpus| &cpus.online);
    let target = online.find(|online| online.cpu.id() == cpu);
    let &Online {
        cpu: block,
        apic_id,
    } = target.ok_or(NmiError::Offline(cpu))?;
    let trace = &block.trace;
    if trace.wanted.swap(true, Ordering::Acquire) {
        return Err(NmiError::Busy(cpu));
    }
    trace.length.store(0, Ordering::Release);
    let destination = Destination::Physical(apic_id);
    local()
        .send(Icr::nmi(destination))
        .map_err(|_| NmiError::Offline(cpu))?;
    let begin = time::nanoseconds();
    while trace.length.load(Ordering::Acquire) == 0 {
        if time::has_passed(begin, PATIENCE) {
            return Err(NmiError::Silent(cpu));
        }
        core::hint::spin_loop();
    }
    let length = trace.length.load(Ordering::Acquire);
    let calls = trace.calls[..length]
        .iter()
        .map(|call| call.load(Ordering::Relaxed))
        .collect();
    Ok(Backtrace { calls })
}
