//! The monitor: a shell for kernels that use [`tocsin`], with commands that show, demonstrate,
//! measure and stress its interrupts.
//!
//! A kernel runs it with [`run`], or adds its own commands with [`run_with`]. Without the shell,
//! [`bench::run`] runs the benchmarks, and the functions of [`stress`] and [`drivers`] can be
//! called alone.
//!
//! # Modules
//!
//! Modules import only from those before them: `raw`, `record`, `command`, `drivers`, `stress`,
//! `bench`, `shell`, `commands`.

#![no_std]

extern crate alloc;

pub mod bench;
pub mod command;
mod commands;
pub mod drivers;
mod raw;
pub mod record;
mod shell;
pub mod stress;

use tocsin::Machine;

use command::Command;

/// Prints the CPUs, the memory and the interrupt controllers of the machine.
///
/// Context: thread.
pub fn show_machine(machine: &'static Machine) {
    commands::show_machine(machine);
}

/// Executes the commands of the kernel command line (`run=`), then those that are typed at the
/// serial port and the keyboard. Does not return.
///
/// Context: thread (one that masks nothing).
///
/// # Panics
///
/// If it is already running, on this or another CPU, because its tests use memory and handlers
/// exclusively.
#[track_caller]
pub fn run(machine: &'static Machine) -> ! {
    run_with(machine, &[])
}

/// Executes commands like [`run`]: the monitor's own, followed by those in `more`. If a command in
/// `more` has the name of one of the monitor's own, the latter is used.
///
/// Context: thread (one that masks nothing).
///
/// # Panics
///
/// Same as [`run`].
#[track_caller]
pub fn run_with(machine: &'static Machine, more: &'static [Command]) -> ! {
    shell::run(machine, commands::COMMANDS, more)
}
