//! `watchdog`: lockup detection, and the times since each CPU last ran each kind of code.

use alloc::string::ToString;
use core::fmt;

use serde::Serialize;
use tocsin_logic::units::Nanoseconds;

use crate::command::{Arguments, CommandError};
use tocsin::Machine;
use tocsin::timer::watchdog::{self, TimesSinceRun};

/// The limits of the watchdog, in nanoseconds.
#[derive(Serialize)]
struct Limits {
    /// The number of CPUs that are watched.
    cpus: usize,
    heartbeat_period_ns: u64,
    heartbeat_limit_ns: u64,
    deferred_work_limit_ns: u64,
    thread_limit_ns: u64,
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Each CPU has a heartbeat every {}. A lockup is reported after {} without a heartbeat, \
             {} without deferred work,\nor {} without a thread.",
            Nanoseconds(self.heartbeat_period_ns),
            Nanoseconds(self.heartbeat_limit_ns),
            Nanoseconds(self.deferred_work_limit_ns),
            Nanoseconds(self.thread_limit_ns)
        )?;
        if self.cpus == 1 {
            write!(
                f,
                "\nOnly one CPU is online: no other CPU can detect that its interrupts stay disabled."
            )?;
        }
        Ok(())
    }
}

/// The times since a CPU last ran each kind of code, in nanoseconds.
#[derive(Serialize)]
struct Watched {
    cpu: u32,
    heartbeat_ns: u64,
    deferred_work_ns: u64,
    thread_ns: u64,
}

impl Watched {
    fn of(times: TimesSinceRun) -> Self {
        Self {
            cpu: times.cpu,
            heartbeat_ns: times.interrupts,
            deferred_work_ns: times.handlers,
            thread_ns: times.thread,
        }
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [heartbeat, deferred_work, thread] =
            [self.heartbeat_ns, self.deferred_work_ns, self.thread_ns]
                .map(|time| Nanoseconds(time).to_string());
        let cpu = self.cpu;
        write!(
            f,
            "{cpu:>3}  {heartbeat:<12}  {deferred_work:<13}  {thread}"
        )
    }
}

pub(super) fn watchdog(
    _: &'static Machine,
    arguments: &mut Arguments<'_>,
) -> Result<(), CommandError> {
    let output = arguments.output();
    let word = arguments.required()?;
    arguments.end()?;
    match word {
        "on" => {
            let cpus = watchdog::start().map_err(|error| {
                CommandError::Failed(alloc::format!("the watchdog cannot run: {error}"))
            })?;
            let limits = Limits {
                cpus,
                heartbeat_period_ns: watchdog::PERIOD,
                heartbeat_limit_ns: watchdog::LIMIT,
                deferred_work_limit_ns: watchdog::HANDLERS_LIMIT,
                thread_limit_ns: watchdog::THREAD_LIMIT,
            };
            output.print("watchdog_limits", &limits);
        }
        "off" => watchdog::stop(),
        "show" => {
            output.heading(
                "CPU  heartbeat     deferred work  thread        (time since each last ran)",
            );
            watchdog::for_each(|times| output.print("watchdog", &Watched::of(times)));
        }
        _ => {
            return Err(CommandError::BadArgument {
                given: word.into(),
                expected: "`on`, `off` or `show`".into(),
            });
        }
    }
    Ok(())
}
