//! Measurements of what interrupts cost, in cycles of the time-stamp counter.
//!
//! Under QEMU's `-icount shift=0` a cycle is one guest instruction, and the same image gives the same
//! numbers every time. [`Options::clock`] says which of the two is meant, and runs of known lengths tell whether
//! it is so.
//!
//! Each figure is the time between two stamps, without what a stamp costs. The same
//! is measured in the same boot with two other ways of answering: `floor`, which does nothing but
//! what must be done, and `typical`, which is what small kernels do (see the module `rivals`). Their rounds
//! alternate with those of the kernel's own way, so that what the host does falls on all alike.
//!
//! | module | job |
//! |---|---|
//! | `clock` | stamps, and how to wait |
//! | `runner` | samples, and what is made of them |
//! | `record` | the records for other programs |
//! | `rivals` | `floor` and `typical` |
//! | `answers` | how those answer on other CPUs |
//! | `partner` | another CPU that takes part |
//! | `flood` | one that sends interrupts as fast as it can |
//! | `held` | what holds interrupts back, as it ends |
//! | `settle` | the same beginning in every run |
//! | `stamped` | a timer's interrupt with a stamp at the gate |
//! | the others | a group of figures each |

mod answers;
mod bringup;
mod broadcast;
mod call;
mod clock;
mod contention;
mod deferred;
mod exception;
mod flood;
mod held;
mod ipi;
mod load;
mod msi;
mod nest;
mod partner;
mod pin;
mod record;
mod rivals;
mod runner;
mod self_ipi;
mod settle;
mod stamped;
mod throughput;
mod timer;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use tocsin_logic::irq::context::Level;

use tocsin::cpu::{self, context};

pub use clock::{Clock, NotCounted};
pub use runner::Output;

use runner::Bench;
use tocsin::cancel;
use tocsin::timer::machine_checks;

/// What is to be measured, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// What a cycle of the time-stamp counter is.
    pub clock: Clock,
    /// Samples of each figure; the clock's own number if `None`.
    pub samples: Option<usize>,
    /// What is printed.
    pub output: Output,
    /// The groups; all if there are none.
    pub groups: Vec<&'static Group>,
}

/// Figures that are measured together.
#[derive(Debug)]
pub struct Group {
    /// What it is called, and what the names of its figures begin with.
    pub name: &'static str,
    /// What is measured.
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
        about: "work put off, until it runs",
        run: deferred::run,
    },
    Group {
        name: "timer",
        about: "a deadline, until its function runs",
        run: timer::run,
    },
    Group {
        name: "load",
        about: "a timer under loads, and what its lateness is made of",
        run: load::run,
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
        about: "an interrupt to another CPU, and its answer",
        run: ipi::run,
    },
    Group {
        name: "broadcast",
        about: "one interrupt to all others, and their answers",
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

/// The group of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Group> {
    GROUPS.iter().find(|group| group.name == name)
}

/// Runs the measurements and prints the results as they come. Returns the number of metrics.
///
/// Context: a thread of the boot CPU that masks nothing.
///
/// # Errors
///
/// Instructions are to be counted, and the time-stamp counter does not.
///
/// # Panics
///
/// If it is called in another context, or while it runs: the measurements replace handlers and
/// entry code.
#[track_caller]
pub fn run(options: &Options) -> Result<u32, NotCounted> {
    static RUNS: AtomicBool = AtomicBool::new(false);
    context::require("bench::run", Level::THREAD);
    assert_eq!(
        cpu::current().id(),
        0,
        "bench: run on another CPU than the first"
    );
    assert!(
        !RUNS.swap(true, Ordering::Acquire),
        "bench: it runs already"
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
    // Its interrupts would disturb the measurements.
    let polling = machine_checks::stop();
    let mut bench = Bench::new(options);
    if let Some(why) = rivals::no_typical() {
        bench.skip("the typical way", why);
    }
    for (step, group) in groups.iter().enumerate() {
        if cancel::is_requested() {
            break;
        }
        bench.begin(group, step + 1, groups.len());
        (group.run)(&mut bench);
    }
    if let Some(period) = polling {
        // It had a timer on each CPU before.
        let _ = machine_checks::start(period);
    }
    if cancel::was_requested() {
        // The records have no end then.
        return Ok(bench.figures());
    }
    Ok(bench.end())
}
