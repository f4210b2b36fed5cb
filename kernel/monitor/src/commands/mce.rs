//! `mce`: errors in the machine-check banks that no machine-check exception signals.

use alloc::string::ToString;

use tocsin::cpu::machine_check::POLLED;
use tocsin_logic::units::Nanoseconds;

use crate::command::{Arguments, CommandError};
use tocsin::cpu::{handlers, machine_check};
use tocsin::ipi::jobs;
use tocsin::timer::machine_checks;
use tocsin::{Machine, println};

/// One second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// The maximum period, in seconds: one day.
const LONGEST: u64 = 86_400;

pub(super) fn mce(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    match arguments.next_word() {
        None => {
            jobs::run_on_all(|_| machine_check::poll()).map_err(CommandError::Cpu)?;
            show();
        }
        Some("off") => {
            arguments.end()?;
            machine_checks::stop();
        }
        Some("every") => {
            let seconds = arguments.number(LONGEST)?.filter(|&seconds| seconds > 0);
            let seconds = seconds.ok_or(CommandError::MissingArgument(
                "mce every <seconds>, from 1 to 86400",
            ))?;
            arguments.end()?;
            machine_checks::start(seconds * SECOND)
                .map_err(|error| CommandError::Failed(error.to_string()))?;
        }
        Some(word) => {
            return Err(CommandError::BadArgument {
                given: word.to_string(),
                expected: "nothing, `every <seconds>` or `off`".into(),
            });
        }
    }
    Ok(())
}

fn show() {
    println!("  CPU  bank     errors  last");
    let mut any = false;
    for cpu in handlers::all_cpus() {
        for (bank, count, last) in POLLED.of(cpu).banks() {
            any = true;
            println!("  {:>3}  {bank:>4}  {count:>9}  {last}", cpu.id());
        }
    }
    if !any {
        println!("  none");
    }
    match machine_checks::period() {
        Some(period) => println!("The banks are polled every {}.", Nanoseconds(period)),
        None => println!("The banks are polled only by this command."),
    }
}
