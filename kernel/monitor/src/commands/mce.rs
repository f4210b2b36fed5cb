//! `mce`: errors in the machine-check banks that no machine-check exception signals.

use alloc::string::ToString;
use core::fmt;

use serde::Serialize;
use tocsin_logic::machine_check::BankStatus;
use tocsin_logic::units::Nanoseconds;

use crate::command::{Arguments, CommandError};
use crate::record::Output;
use tocsin::Machine;
use tocsin::cpu::handlers;
use tocsin::cpu::machine_check::{self, POLLED};
use tocsin::ipi::jobs;
use tocsin::timer::machine_checks;

/// One second, in nanoseconds.
const SECOND: u64 = 1_000_000_000;

/// The maximum period, in seconds: one day.
const LONGEST: u64 = 86_400;

pub(super) fn mce(_: &'static Machine, arguments: &mut Arguments<'_>) -> Result<(), CommandError> {
    let output = arguments.output();
    match arguments.next_word() {
        None => {
            jobs::run_on_all(|_| machine_check::poll()).map_err(CommandError::Cpu)?;
            show(output);
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

/// The errors of a bank that no machine-check exception has signalled.
#[derive(Serialize)]
struct BankErrors {
    cpu: u32,
    bank: usize,
    errors: u64,
    /// The `IA32_MCi_STATUS` of the last error.
    last_status: u64,
}

impl fmt::Display for BankErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            bank,
            errors,
            last_status,
        } = self;
        let last_status = BankStatus(*last_status);
        write!(f, "  {cpu:>3}  {bank:>4}  {errors:>9}  {last_status}")
    }
}

/// The polling of the banks.
#[derive(Serialize)]
struct Polling {
    /// None if only the command polls them.
    period_ns: Option<u64>,
}

impl fmt::Display for Polling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.period_ns {
            Some(period) => write!(f, "The banks are polled every {}.", Nanoseconds(period)),
            None => f.write_str("The banks are polled only by this command."),
        }
    }
}

fn show(output: Output) {
    output.heading("  CPU  bank     errors  last status");
    let mut has_errors = false;
    for cpu in handlers::all_cpus() {
        for (bank, errors, last_status) in POLLED.of(cpu).banks() {
            has_errors = true;
            let bank = BankErrors {
                cpu: cpu.id(),
                bank,
                errors,
                last_status: last_status.0,
            };
            output.print("machine_check_bank", &bank);
        }
    }
    if !has_errors {
        output.heading("  none");
    }
    let period_ns = machine_checks::period();
    output.print("machine_check_polling", &Polling { period_ns });
}
