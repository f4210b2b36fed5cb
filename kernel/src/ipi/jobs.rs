//! Jobs: functions that run on another CPU's thread stack, outside any interrupt handler.
//!
//! A CPU accepts jobs while its thread is idle: an AP between jobs, and any CPU while it waits for
//! jobs that it has started. A CPU accepts one job at a time. A job starts on all of its targets or
//! on none, because the targets are reserved first. A CPU waits for every job that it has started,
//! because `RunningJobs` waits when it is dropped. A waiting CPU also accepts jobs, so a job may
//! start jobs, even on the CPU that waits for it.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

use crate::fn_cell::FnCell;
use tocsin_logic::irq::context::Level;
use tocsin_logic::units::Nanoseconds;
use x86_64::instructions::interrupts;

use crate::cpu::{self, context};
use crate::ipi::{self, Offline, reschedule};
use crate::smp::{
    self, {Online, all},
};
use crate::time;

/// The states of a CPU's mailbox for jobs.
mod state {
    /// The thread is busy; no job is accepted.
    pub(super) const CLOSED: u32 = 0;
    /// A job is accepted.
    pub(super) const OPEN: u32 = 1;
    /// Another CPU has reserved the mailbox, or a job is pending.
    pub(super) const RESERVED: u32 = 2;
    /// A job is running.
    pub(super) const RUNNING: u32 = 3;
}

/// One job for a CPU: a function and its argument.
#[derive(Debug)]
struct JobSlot {
    /// One of [`state`].
    state: AtomicU32,
    /// The function, stored last.
    function: FnCell<fn(u64)>,
    argument: AtomicU64,
    /// The flag that is set when the job is done; it belongs to the CPU that gave the job.
    done: AtomicPtr<AtomicBool>,
}

impl JobSlot {
    /// Changes the state if it is `from`. Returns whether it has changed.
    fn change(&self, from: u32, to: u32) -> bool {
        let order = (Ordering::AcqRel, Ordering::Relaxed);
        let changed = self.state.compare_exchange(from, to, order.0, order.1);
        changed.is_ok()
    }
}

crate::cpu_local! {
    /// Each CPU's mailbox for jobs: open, except that of the boot CPU, which runs `main`.
    static MAILBOX: JobSlot = JobSlot {
        state: AtomicU32::new(state::OPEN),
        function: FnCell::empty(),
        argument: AtomicU64::new(0),
        done: AtomicPtr::new(core::ptr::null_mut()),
    };
}

/// Time after which a wait for a job is logged, in nanoseconds. A job is permitted to take longer.
const LONG_WAIT: u64 = 10_000_000_000;

/// The context in which jobs may be given: threads, because a CPU that waits for a job must run the
/// jobs that it receives.
const LIMIT: Level = Level::THREAD;

/// A job for a CPU.
#[derive(Clone, Copy, Debug)]
pub struct Job {
    /// The function, called on the CPU's thread stack with interrupts enabled. It is not a
    /// [`Callback`](super::Callback): no entry code calls it, so a closure may be used.
    pub function: fn(u64),
    /// The argument of the function.
    pub argument: u64,
}

/// The no-op job: when it is done, the CPU's thread has run, so all handlers that were pending have
/// returned.
pub const NO_OP: Job = Job {
    function: |_| (),
    argument: 0,
};

/// The reason why a job was not given. No CPU has run it in this case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum JobError {
    /// One of the CPUs is not online.
    Offline(Offline),
    /// The CPU's thread is busy: it runs a job, or its own `main`.
    Busy(u32),
    /// The CPU is in the list twice.
    Repeated(u32),
}

impl From<Offline> for JobError {
    fn from(offline: Offline) -> Self {
        Self::Offline(offline)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(offline) => offline.fmt(f),
            Self::Busy(cpu) => write!(
                f,
                "CPU {cpu} is busy and accepts no job; nothing was started"
            ),
            Self::Repeated(cpu) => write!(f, "CPU {cpu} is named twice; nothing was started"),
        }
    }
}

impl core::error::Error for JobError {}

/// Runs `job` on CPU number `cpu` and waits until it is done. On the calling CPU, the job is called
/// directly.
///
/// Context: thread.
///
/// # Errors
///
/// [`JobError`], if the CPU does not accept the job.
///
/// # Panics
///
/// In another context, such as a handler; the message names the rule.
#[track_caller]
pub fn run_on(cpu: u32, job: Job) -> Result<(), JobError> {
    run_on_each(&[cpu], job)
}

/// Runs `job` on all these CPUs at once and waits until all are done. On the calling CPU, the job
/// is called directly.
///
/// Context: thread.
///
/// # Errors
///
/// [`JobError`], if one of the CPUs does not accept the job; then no CPU runs it.
///
/// # Panics
///
/// As [`run_on`].
#[track_caller]
pub fn run_on_each(cpus: &[u32], job: Job) -> Result<(), JobError> {
    context::require("jobs::run_on", LIMIT);
    let own = cpu::current().id();
    let mut others = Vec::with_capacity(cpus.len());
    for (index, &cpu) in cpus.iter().enumerate() {
        if cpus[..index].contains(&cpu) {
            return Err(JobError::Repeated(cpu));
        }
        let target = ipi::find(cpu)?;
        if cpu != own {
            others.push(target);
        }
    }
    let running = RunningJobs::start(others.into_iter(), |_| job)?;
    if cpus.contains(&own) {
        execute(job.function, job.argument);
    }
    drop(running);
    Ok(())
}

/// Runs `function` on all CPUs at once, with the CPU's number as its argument, and waits until all
/// are done.
///
/// Context: thread.
///
/// # Errors
///
/// [`JobError`], if one of the CPUs does not accept the job; then no CPU runs it.
///
/// # Panics
///
/// As [`run_on`].
#[track_caller]
pub fn run_on_all(function: fn(u64)) -> Result<(), JobError> {
    context::require("jobs::run_on_all", LIMIT);
    let own = cpu::current().id();
    let others = all().iter().filter(|it| it.cpu.id() != own);
    let running = RunningJobs::start(others, |cpu| Job {
        function,
        argument: cpu.into(),
    })?;
    execute(function, own.into());
    drop(running);
    Ok(())
}

/// A CPU that has been given a job.
#[derive(Debug)]
struct Target {
    online: &'static Online,
    /// Set by the target when the job is done, as its last access.
    done: AtomicBool,
}

/// Jobs in progress. The drop waits until all are done, and accepts jobs meanwhile.
///
/// It must be dropped by the thread that gave the jobs, before the job that this thread runs
/// returns, because the drop changes the state of this CPU's own mailbox.
#[derive(Debug)]
pub struct RunningJobs {
    targets: Box<[Target]>,
    /// The state of this CPU's own mailbox to restore: closed; running, if the CPU runs a job
    /// itself; or open, if the state was not changed.
    before: u32,
    /// Not `Send`.
    thread: PhantomData<*mut ()>,
}

impl RunningJobs {
    /// Gives each of these CPUs the job that `job` returns for its number. The calling CPU must not
    /// be among them.
    ///
    /// # Errors
    ///
    /// [`JobError::Busy`], if one CPU does not accept its job; then no CPU gets one.
    #[track_caller]
    pub(crate) fn start(
        cpus: impl Iterator<Item = &'static Online>,
        job: impl Fn(u32) -> Job,
    ) -> Result<Self, JobError> {
        context::require("jobs::start", LIMIT);
        let mut targets = Vec::new();
        for online in cpus {
            let mailbox = MAILBOX.of(online.cpu);
            if !mailbox.change(state::OPEN, state::RESERVED) {
                for Target { online, .. } in targets {
                    MAILBOX
                        .of(online.cpu)
                        .state
                        .store(state::OPEN, Ordering::Release);
                }
                return Err(JobError::Busy(online.cpu.id()));
            }
            let done = AtomicBool::new(false);
            targets.push(Target { online, done });
        }
        // From here on this CPU accepts jobs too, because it will wait: the jobs that it gives may
        // need that.
        let own = MAILBOX.here();
        let before = match own.state.load(Ordering::Relaxed) {
            before @ (state::CLOSED | state::RUNNING) => {
                own.state.store(state::OPEN, Ordering::Release);
                before
            }
            // An open mailbox stays open; a reserved one belongs to the CPU that reserved it.
            _ => state::OPEN,
        };
        let targets = targets.into_boxed_slice();
        for Target { online, done } in &targets {
            let job = job(online.cpu.id());
            let mailbox = MAILBOX.of(online.cpu);
            mailbox.argument.store(job.argument, Ordering::Relaxed);
            let done = core::ptr::from_ref(done).cast_mut();
            mailbox.done.store(done, Ordering::Relaxed);
            mailbox.function.replace(Some(job.function));
            reschedule::signal(online);
        }
        Ok(Self {
            targets,
            before,
            thread: PhantomData,
        })
    }

    /// The number of CPUs that have been given a job.
    ///
    /// Context: any.
    #[must_use]
    pub fn count(&self) -> usize {
        self.targets.len()
    }
}

impl Drop for RunningJobs {
    fn drop(&mut self) {
        let (start, mut is_reported) = (time::nanoseconds(), false);
        let is_missing = |target: &&Target| !target.done.load(Ordering::Acquire);
        while let Some(missing) = self.targets.iter().find(is_missing) {
            run_next();
            if !is_reported && time::has_passed(start, LONG_WAIT) {
                is_reported = true;
                let cpu = missing.online.cpu.id();
                log::warn!(
                    "jobs: CPU {cpu}: its job is not done after {} (CPU {} waits for it; \
                     `watchdog on` or an NMI shows where it is)",
                    Nanoseconds(LONG_WAIT),
                    cpu::current().id(),
                );
            }
            core::hint::spin_loop();
        }
        // A job that has been received in the meantime is run first.
        let own = MAILBOX.here();
        while self.before != state::OPEN && !own.change(state::OPEN, self.before) {
            run_next();
            core::hint::spin_loop();
        }
    }
}

/// Sets the function with which APs execute jobs. Called once, before any AP starts.
pub(crate) fn set_up() {
    MAILBOX.here().state.store(state::CLOSED, Ordering::Relaxed);
    smp::ap::NEXT_JOB.replace(Some(|| {
        is_pending() && {
            interrupts::enable();
            run_next()
        }
    }));
}

/// Runs the job that this CPU has received, if there is one. Returns whether there was one.
///
/// Context: thread.
fn run_next() -> bool {
    // A wait calls this in a loop: without a job, it must not write to the mailbox.
    if !is_pending() {
        return false;
    }
    let mailbox = MAILBOX.here();
    // Only this CPU takes it.
    let Some(function) = mailbox.function.replace(None) else {
        return false;
    };
    let argument = mailbox.argument.load(Ordering::Relaxed);
    let done = mailbox.done.load(Ordering::Relaxed);
    mailbox.state.store(state::RUNNING, Ordering::Relaxed);
    execute(function, argument);
    mailbox.state.store(state::OPEN, Ordering::Release);
    // SAFETY: The sender keeps the flag until it is set.
    unsafe { (*done).store(true, Ordering::Release) };
    true
}

/// Executes a job's function on this CPU.
///
/// # Panics
///
/// If the function leaves interrupts disabled, a priority raised or a lock held, because it leaked
/// its guards.
fn execute(function: fn(u64), argument: u64) {
    function(argument);
    context::require("jobs: the return of a job", LIMIT);
}

/// Whether this CPU has received a job that it has not begun.
fn is_pending() -> bool {
    MAILBOX.here().function.is_set()
}
