//! The library's unchecked access to the interrupt path ([`tocsin::hooks`]), for this crate.
//!
//! SAFETY of all functions here: this crate passes only vectors that are reserved for it
//! (`tocsin::cpu::handlers`, `FIXED`), or that it has allocated with [`allocate`]. Its handlers
//! use their context only as the value that was installed with them. It removes a handler only when
//! a thread of the CPU has run after [`begin_removal`].

use tocsin::cpu::PerCpu;
use tocsin::cpu::handlers::INTERRUPTS;
use tocsin::hooks::{self, Handler, SectionKind};
use tocsin::ipi::jobs::{Job, JobError, RunningJobs};
use tocsin::ipi::{IpiError, Targets};
use tocsin::smp::Online;
use tocsin_logic::apic::EncodingError;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::vector::Vector;

pub(crate) use tocsin::hooks::{allocate, available, available_in};

#[must_use]
pub(crate) fn install(cpu: PerCpu, vector: Vector, handler: Handler, context: usize) -> bool {
    // SAFETY: See the module.
    unsafe { hooks::install(cpu, vector, handler, context) }
}

/// Replaces a handler of this CPU, and keeps its context.
pub(crate) fn exchange(cpu: PerCpu, vector: Vector, handler: Handler) -> Option<(Handler, usize)> {
    // SAFETY: See the module. The replacements use no context, or pass it to the previous handler.
    unsafe { INTERRUPTS.of(cpu).exchange(vector, handler) }
}

pub(crate) fn begin_removal(cpu: PerCpu, vector: Vector) {
    // SAFETY: See the module.
    unsafe { hooks::begin_removal(cpu, vector) }
}

pub(crate) fn end_removal(cpu: PerCpu, vector: Vector) {
    // SAFETY: See the module.
    unsafe { hooks::end_removal(cpu, vector) }
}

pub(crate) fn register(vector: Vector, handler: Handler) {
    // SAFETY: See the module.
    unsafe { hooks::register(vector, handler) }
}

/// Frees a vector from [`allocate`] whose handler has been removed.
pub(crate) fn free(cpu: PerCpu, vector: Vector) {
    // SAFETY: See the module.
    let freed = unsafe { hooks::free(cpu, vector) };
    debug_assert!(freed, "vector {vector} was not allocated");
}

#[expect(clippy::inline_always, reason = "as `hooks::send`: it is measured")]
#[inline(always)]
pub(crate) fn send(vector: Vector, destination: Destination) -> Result<(), EncodingError> {
    // SAFETY: See the module.
    unsafe { hooks::send(vector, destination) }
}

#[inline]
pub(crate) fn send_to_self(vector: Vector) {
    // SAFETY: See the module.
    unsafe { hooks::send_to_self(vector) }
}

pub(crate) fn send_to(vector: Vector, targets: Targets<'_>) -> Result<(), IpiError> {
    // SAFETY: See the module.
    unsafe { hooks::send_to(vector, targets) }
}

#[inline]
pub(crate) fn send_to_others_in_turn(vector: Vector) {
    // SAFETY: See the module.
    unsafe { hooks::send_to_others_in_turn(vector) }
}

pub(crate) fn prepare_timer(vector: Vector) {
    // SAFETY: See the module.
    unsafe { hooks::prepare_timer(vector) }
}

/// Starts jobs on CPUs; the drop of the result waits for them.
pub(crate) fn start_jobs(
    cpus: impl Iterator<Item = &'static Online>,
    job: impl Fn(u32) -> Job,
) -> Result<RunningJobs, JobError> {
    // SAFETY: The result is part of a value on the stack of the function that measures, which is no
    // job.
    unsafe { hooks::start_jobs(cpus, job) }
}

/// Has `record` called at the end of each section, or no function.
pub(crate) fn record(record: Option<fn(SectionKind, u64)>) {
    // SAFETY: The only function that is passed writes to memory of its own.
    unsafe { hooks::record(record) }
}
