//! Giving a CPU something to do on its own stack, outside any interrupt handler.
//!
//! Between jobs the other CPUs sleep. Each has one job at a time, and whoever gives it waits for it: the
//! monitor does so for what it runs everywhere.

use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::Ordering;

use super::{Online, all, reschedule};
use crate::cpu;

/// What a CPU is asked to do.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// Called on the CPU's thread stack, interrupts on.
    pub function: fn(u64),
    /// What it is given.
    pub argument: u64,
}

/// Nothing: the CPU's thread has run when it is done, and so all its handlers have.
pub(crate) const NOTHING: Job = Job {
    function: |_| (),
    argument: 0,
};

impl Job {
    pub(super) fn run(self) {
        (self.function)(self.argument);
        cpu::current().job.busy.store(false, Ordering::Release);
    }
}

/// Why a job was not given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobError {
    /// No CPU of this number is online.
    Offline(u32),
    /// The CPU still has one.
    Busy(u32),
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(cpu) => write!(f, "CPU {cpu} is not online; `cpus` lists those that are"),
            Self::Busy(cpu) => write!(f, "CPU {cpu} has not finished what it was given before"),
        }
    }
}

/// Gives `job` to CPU number `cpu` and waits until it is done. On the calling CPU itself, it is
/// simply called. In a thread.
///
/// # Errors
///
/// [`JobError`], if the CPU cannot take it.
pub fn run_on(cpu: u32, job: Job) -> Result<(), JobError> {
    run_on_each(&[cpu], job)
}

/// Gives `job` to all these CPUs at once and waits until all are done. On the calling CPU itself, it is
/// simply called. In a thread.
///
/// # Errors
///
/// [`JobError`], if a CPU cannot take it; if one is busy, those before it in the list may run it.
pub fn run_on_each(cpus: &[u32], job: Job) -> Result<(), JobError> {
    let own = cpu::current().id();
    let others = || cpus.iter().filter(|&&cpu| cpu != own);
    for &cpu in others() {
        find(cpu)?;
    }
    for &cpu in others() {
        give(find(cpu)?, job)?;
    }
    if cpus.contains(&own) {
        (job.function)(job.argument);
    }
    for &cpu in others() {
        wait_for(find(cpu)?);
    }
    Ok(())
}

fn find(cpu: u32) -> Result<&'static Online, JobError> {
    super::find(cpu).ok_or(JobError::Offline(cpu))
}

/// Runs `function` on all CPUs at once, with the CPU's number, and waits until all are done. In a thread.
///
/// # Errors
///
/// [`JobError`], if a CPU cannot take it; the others may have run it.
pub fn run_on_all(function: fn(u64)) -> Result<(), JobError> {
    let own = cpu::current().id();
    let others = || all().iter().filter(|it| it.cpu.id() != own);
    for target in others() {
        give(
            target,
            Job {
                function,
                argument: target.cpu.id().into(),
            },
        )?;
    }
    function(own.into());
    others().for_each(wait_for);
    Ok(())
}

/// CPUs that have been given a job, and are waited for later.
#[derive(Debug)]
pub(crate) struct Given(Vec<&'static Online>);

impl Given {
    /// Gives `job` to these CPUs, of whom the calling one is none. Those that have not finished what
    /// they were given before are left out.
    pub(crate) fn to(cpus: impl Iterator<Item = &'static Online>, job: Job) -> Self {
        Self(cpus.filter(|target| give(target, job).is_ok()).collect())
    }

    /// How many have it.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Waits until all are done.
    pub(crate) fn wait(&self) {
        self.0.iter().copied().for_each(wait_for);
    }
}

fn give(target: &Online, job: Job) -> Result<(), JobError> {
    let cpu = target.cpu.id();
    let mailbox = &target.cpu.job;
    if mailbox.busy.swap(true, Ordering::Acquire) {
        return Err(JobError::Busy(cpu));
    }
    mailbox.argument.store(job.argument, Ordering::Relaxed);
    mailbox
        .function
        .store(job.function as *mut (), Ordering::Release);
    reschedule::signal(target);
    Ok(())
}

fn wait_for(target: &Online) {
    while target.cpu.job.busy.load(Ordering::Acquire) {
        core::hint::spin_loop();
    }
}

/// The job that this CPU has been given, if there is one.
pub(super) fn take() -> Option<Job> {
    let mailbox = &cpu::current().job;
    let pointer = mailbox
        .function
        .swap(core::ptr::null_mut(), Ordering::Acquire);
    if pointer.is_null() {
        return None;
    }
    // SAFETY: 1. Only `run_on` stores here, and it stores a `fn(u64)`.
    let function = unsafe { core::mem::transmute::<*mut (), fn(u64)>(pointer) };
    Some(Job {
        function,
        argument: mailbox.argument.load(Ordering::Relaxed),
    })
}
