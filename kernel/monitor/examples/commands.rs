//! A kernel that shows the monitor, with a command of its own.
#![no_std]
#![no_main]

use tocsin::Machine;
use tocsin_monitor::command::{Arguments, Command, CommandError};

tocsin::main!(kernel);

const OWN: &[Command] = &[Command {
    name: "hello",
    usage: "hello",
    help: "print the number of CPUs",
    run: hello,
    details: None,
}];

fn kernel(machine: &'static Machine) -> ! {
    tocsin_monitor::run_with(machine, OWN)
}

fn hello(machine: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    arguments.end()?;
    tocsin::println!("{} CPUs in the MADT", machine.topology.cpus().len());
    Ok(())
}
