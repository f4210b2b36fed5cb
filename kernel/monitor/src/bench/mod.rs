//! Benchmarks of the cost of interrupts, in cycles of the time-stamp counter.
//!
//! Under QEMU's `-icount shift=0` a cycle is one guest instruction, and the same image gives the
//! same numbers every time. [`Options::clock`] selects cycles or instructions, and runs of known
//! length verify the selection.
//!
//! Each metric is the time between two timestamps, minus the cost of a timestamp. The same
//! operation is measured in the same boot with two baselines: `floor`, which does only the required
//! minimum, and `typical`, which does what small kernels do (see the module `baselines`). Their
//! rounds alternate with those of the kernel's own code, so that disturbances by the host affect
//! all variants equally.
//!
//! | module | purpose |
//! |---|---|
//! | `clock` | timestamps, and the wait loops |
//! | `runner` | takes samples, and reports them |
//! | `record` | the machine-readable records |
//! | `baselines` | the baselines `floor` and `typical` |
//! | `remote_handlers` | the baselines' handlers on remote CPUs |
//! | `remote` | a remote CPU that takes part |
//! | `flood` | a remote CPU that sends interrupts as fast as it can |
//! | `interrupt_load` | timers and a remote CPU that interrupt this CPU |
//! | `delays` | a log of the sections that delay interrupts |
//! | `quiesce` | a reproducible initial state |
//! | `stamped` | a timer interrupt with a timestamp at the gate |
//! | the others | a group of metrics each |

mod baselines;
mod bringup;
mod broadcast;
mod call;
mod clock;
mod contention;
mod deferred;
mod delays;
mod exception;
mod flood;
mod interrupt_load;
mod ipi;
mod load;
mod msi;
mod nest;
mod pin;
mod quiesce;
mod record;
mod remote;
mod remote_handlers;
mod runner;
mod self_ipi;
mod stamped;
mod throughput;
mod timer;
mod wake;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::irq::context::Level;

use tocsin::cpu::{self, context};

use crate::record::Output;
pub use clock::{Clock, NotCounted};

use runner::Bench;
use tocsin::cancel;
use tocsin::timer::machine_checks;

/// The options of a benchmark run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The unit of the time-stamp counter.
    pub clock: Clock,
    /// The number of samples of each metric; `None` selects the clock's default.
    pub samples: Option<usize>,
    /// The output format.
    pub output: Output,
    /// The groups to run. If it is empty, all groups run.
    pub groups: Vec<&'static Group>,
}

/// A group of metrics that are measured together.
#[derive(Debug)]
pub struct Group {
    /// The name of the group, with which the names of its metrics begin.
    pub name: &'static str,
    /// A description of the group.
    pub about: &'static str,
    run: fn(&mut Bench),
}

/// All groups, in the order in which they run.
pub const GROUPS: &[Group] = &[
    Group {
        name: "exception",
        about: "INT n and an undefined instruction, to their handlers and back",
        run: exception::run,
    },
    Group {
        name: "self_ipi",
        about: "an interrupt of this CPU to itself, and its parts",
        run: self_ipi::run,
    },
    Group {
        name: "nest",
        about: "an urgent interrupt inside other handlers",
        run: nest::run,
    },
    Group {
        name: "contention",
        about: "an urgent interrupt while a thread holds a lock",
        run: contention::run,
    },
    Group {
        name: "deferred",
        about: "deferred work, until it runs",
        run: deferred::run,
    },
    Group {
        name: "timer",
        about: "a deadline, until its function runs",
        run: timer::run,
    },
    Group {
        name: "load",
        about: "a timer under loads, and the breakdown of its latency",
        run: load::run,
    },
    Group {
        name: "wake",
        about: "a thread that sleeps until a deadline, until it runs",
        run: wake::run,
    },
    Group {
        name: "pin",
        about: "a device's edge at an I/O APIC, until its handler runs",
        run: pin::run,
    },
    Group {
        name: "msi",
        about: "a device's message, until its handler runs",
        run: msi::run,
    },
    Group {
        name: "ipi",
        about: "an IPI to another CPU, one way and round trip",
        run: ipi::run,
    },
    Group {
        name: "broadcast",
        about: "an interrupt to all other CPUs, until all have handled it",
        run: broadcast::run,
    },
    Group {
        name: "call",
        about: "a function called on other CPUs, until it has returned",
        run: call::run,
    },
    Group {
        name: "throughput",
        about: "interrupts a second, and what a flood leaves to a thread",
        run: throughput::run,
    },
    Group {
        name: "bringup",
        about: "starting the other CPUs",
        run: bringup::run,
    },
];

/// Returns the group with the name `name`.
///
/// Context: any.
#[must_use]
pub fn find(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}

/// Runs the benchmarks and prints the results as they become available. Returns the number of
/// metrics.
///
/// Context: thread (of the boot CPU).
///
/// # Errors
///
/// Fails if the clock is `Instructions` but the time-stamp counter does not count instructions.
///
/// # Panics
///
/// If it is called in another context, or during another run, because the benchmarks replace
/// handlers and entry code.
#[track_caller]
pub fn run(options: &Options) -> Result<u32, NotCounted> {
    static RUNS: AtomicBool = AtomicBool::new(false);
    context::require("bench::run", Level::THREAD);
    assert_eq!(cpu::current().id(), 0, "bench: not on CPU 0");
    assert!(
        !RUNS.swap(true, Ordering::Acquire),
        "bench: already running"
    );
    let result = run_alone(options);
    RUNS.store(false, Ordering::Release);
    result
}

fn run_alone(options: &Options) -> Result<u32, NotCounted> {
    clock::check(options.clock)?;
    let groups: Vec<&Group> = if options.groups.is_empty() {
        GROUPS.iter().collect()
    } else {
        options.groups.clone()
    };
    // The interrupts of machine-check polling would disturb the measurements.
    let polling = machine_checks::stop();
    let mut bench = Bench::new(options);
    if let Some(why) = baselines::no_typical() {
        bench.skip("the typical baseline", why);
    }
    for (step, group) in groups.iter().enumerate() {
        if cancel::is_requested() {
            break;
        }
        bench.begin(group, step + 1, groups.len());
        (group.run)(&mut bench);
    }
    if let Some(period) = polling {
        // Cannot fail: each CPU had a timer for it before.
        let _ = machine_checks::start(period);
    }
    if cancel::was_requested() {
        // A cancelled run has no `End` record.
        return Ok(bench.metrics());
    }
    Ok(bench.end())
}
