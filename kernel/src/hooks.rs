//! Access to the interrupt path for benchmarks and for tests of the kernel itself. Only with the
//! feature `bench`.
//!
//! Kernels do not need it. The functions correspond to safe ones, but do not check that a vector, a
//! handler or a destination belongs to the caller.

use crate::cpu::handlers::{INTERRUPTS, VECTORS};
use crate::trap::nmi::NMI;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::{ApicId, EncodingError};
use tocsin_logic::irq::vectors::VectorSet;
use tocsin_logic::vector::{PriorityClass, Vector};

use crate::apic::local;
use crate::cpu::{self, PerCpu, handlers};
use crate::ipi::jobs::{Job, JobError, RunningJobs};
use crate::ipi::{self, IpiError, Targets};
use crate::line::MessageTarget;
use crate::memory::tlb;
use crate::smp::Online;
use crate::timer::lapic;

pub use crate::cpu::Callback;
pub use crate::cpu::handlers::Handler;
pub use crate::memory::tlb::FlushAllCpus;
pub use crate::priority::latency::{SectionKind, record};
pub use crate::trap::fixup::{probe_undefined, undefined};
pub use crate::trap::measured_entry::{default_entry, entry_measured_3, set_measured};

/// Installs `handler` for `vector` on one CPU. Returns false if the vector has a handler, or is an
/// exception's.
///
/// Context: any.
///
/// # Safety
///
/// The vector must be the caller's, and `handler` must be correct for `context`.
#[must_use = "the vector may belong to others"]
pub unsafe fn install(cpu: PerCpu, vector: Vector, handler: Handler, context: usize) -> bool {
    INTERRUPTS.of(cpu).install(vector, handler, context)
}

/// Removes the handler of `vector`: the first step of a removal.
///
/// Context: any.
///
/// # Safety
///
/// The handler must be the caller's, by [`install`].
pub unsafe fn begin_removal(cpu: PerCpu, vector: Vector) {
    INTERRUPTS.of(cpu).begin_removal(vector);
}

/// Frees `vector`: the last step of a removal.
///
/// Context: any.
///
/// # Safety
///
/// After [`begin_removal`], the CPU must have been seen with the vector neither requested nor in
/// service.
pub unsafe fn end_removal(cpu: PerCpu, vector: Vector) {
    INTERRUPTS.of(cpu).end_removal(vector);
}

/// Registers `handler` for a reserved vector on all CPUs, with the context 0.
///
/// Context: thread.
///
/// # Panics
///
/// If the vector is not reserved, or has another kind of handler.
///
/// # Safety
///
/// The vector must be the caller's, and `handler` must be correct for the context 0.
pub unsafe fn register(vector: Vector, handler: Handler) {
    handlers::register(vector, handler);
}

/// Sends `vector` from this CPU.
///
/// Context: any.
///
/// # Errors
///
/// [`EncodingError`], if this mode cannot express the destination.
///
/// # Panics
///
/// If the vector is that of an exception.
///
/// # Safety
///
/// The vector must be the caller's.
#[expect(clippy::inline_always, reason = "as `LocalApic::send`, which it calls")]
#[inline(always)]
pub unsafe fn send(vector: Vector, destination: Destination) -> Result<(), EncodingError> {
    local().send_fixed(vector, destination)
}

/// Sends `vector` to this CPU.
///
/// Context: any.
///
/// # Panics
///
/// If the vector is that of an exception.
///
/// # Safety
///
/// The vector must be the caller's.
#[inline]
pub unsafe fn send_to_self(vector: Vector) {
    local().send_to_self(vector);
}

/// Sends `vector` as [`ipi::send`] does.
///
/// Context: any.
///
/// # Errors
///
/// [`IpiError`], if one of the CPUs is not online. Then nothing is sent.
///
/// # Safety
///
/// The vector must be the caller's.
pub unsafe fn send_to(vector: Vector, targets: Targets<'_>) -> Result<(), IpiError> {
    ipi::send_vector(vector, targets)
}

/// Sends `vector` to all other online CPUs, with one command for each.
///
/// Context: any.
///
/// # Safety
///
/// The vector must be the caller's.
#[inline]
pub unsafe fn send_to_others_in_turn(vector: Vector) {
    ipi::signal_others_in_turn(vector);
}

/// Allocates a vector of `class` on one CPU; `None` if all are in use.
///
/// Context: thread.
#[must_use]
pub fn allocate(cpu: PerCpu, class: PriorityClass) -> Option<Vector> {
    VECTORS.of(cpu).lock().allocate_block(class, 1).ok()
}

/// Frees a vector of [`allocate`]. Returns whether it was allocated.
///
/// Context: thread.
///
/// # Safety
///
/// It must have no handler, and nothing may send it any more.
pub unsafe fn free(cpu: PerCpu, vector: Vector) -> bool {
    VECTORS.of(cpu).lock().free_block(vector, 1).is_ok()
}

/// The vectors of one CPU that are free.
///
/// Context: thread.
#[must_use]
pub fn available(cpu: PerCpu) -> VectorSet {
    VECTORS.of(cpu).lock().available()
}

/// The number of free vectors of `class` on one CPU.
///
/// Context: thread.
#[must_use]
pub fn available_in(cpu: PerCpu, class: PriorityClass) -> u8 {
    VECTORS.of(cpu).lock().available_in(class)
}

/// Prepares this CPU's timer for deadlines at `vector`, whose handler ends the interrupt itself.
///
/// Context: thread.
///
/// # Safety
///
/// The vector must be the caller's, or [`apic::vectors::TIMER`](crate::apic::vectors::TIMER).
pub unsafe fn prepare_timer(vector: Vector) {
    lapic::prepare_at(vector);
}

/// The messages for `count` vectors of a CPU from `first` on.
///
/// Context: any.
///
/// # Errors
///
/// [`EncodingError::Destination`], if the message cannot name the CPU.
///
/// # Safety
///
/// The vectors must be the caller's.
pub unsafe fn message_target(
    first: Vector,
    count: u8,
    cpu: ApicId,
) -> Result<MessageTarget, EncodingError> {
    MessageTarget::new(first, count, cpu)
}

/// Requests a call of `function` in the next NMI of a CPU. Returns false if another call is
/// pending.
///
/// Context: any.
///
/// # Safety
///
/// The function must be fit for an NMI, which may interrupt any code; and an NMI must be sent to
/// the CPU then.
pub unsafe fn request_nmi_call(cpu: PerCpu, function: Callback, argument: usize) -> bool {
    NMI.of(cpu).request_call(function, argument)
}

/// The function that invalidates translations on all CPUs; `None` before it is set at boot.
///
/// Context: any.
#[must_use]
pub fn flush_all_cpus() -> Option<FlushAllCpus> {
    tlb::FLUSH_ALL_CPUS.get()
}

/// Replaces the function that invalidates translations on all CPUs.
///
/// Context: any.
///
/// # Safety
///
/// `how` must call the one before, or be one that was there before.
pub unsafe fn set_flush_all_cpus(how: FlushAllCpus) {
    tlb::FLUSH_ALL_CPUS.replace(Some(how));
}

/// Gives these CPUs the job that `job` makes for the number of each, and does not wait.
///
/// Context: thread (one that masks nothing).
///
/// # Errors
///
/// [`JobError::Busy`], if one does not accept it; then none gets one.
///
/// # Panics
///
/// If the calling CPU is among them.
///
/// # Safety
///
/// The result must be dropped by the same thread, and before the job that calls this, if there is
/// one, returns.
#[track_caller]
pub unsafe fn start_jobs(
    cpus: impl Iterator<Item = &'static Online>,
    job: impl Fn(u32) -> Job,
) -> Result<RunningJobs, JobError> {
    let own = cpu::current().id();
    let others = cpus.inspect(|online| {
        assert_ne!(online.cpu.id(), own, "jobs: a CPU does not wait for itself");
    });
    RunningJobs::start(others, job)
}
