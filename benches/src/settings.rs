//! The variables of `make bench`: the machine, the metrics and the clock.

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use tocsin_tools::Machine;
use tocsin_tools::settings::{Accel, BadSetting, BootWay, MachineArgs, Smp};

use crate::error::BenchError;
use crate::names;
use crate::output;
use crate::record::Clock;
use crate::run::TIMEOUT;

/// Default number of CPUs of a machine.
pub const USUAL_CPUS: u32 = 4;

/// Arguments; each is a variable of the environment too.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Number of CPUs, or QEMU's -smp value; 4, and 32 for what scales
    #[arg(long, env = "SMP", default_value = "", hide_default_value = true)]
    smp: String,
    #[command(flatten)]
    machine: MachineArgs,
    /// Only metrics with this prefix, or of these groups; several with commas
    #[arg(long, env = "BENCH", default_value = "")]
    bench: String,
    /// cycles, instructions or both
    #[arg(long, env = "MODE", default_value = "both")]
    mode: String,
    /// How often each machine is measured in cycles; they take turns
    #[arg(long, env = "ROUNDS", default_value = "5")]
    rounds: String,
    /// A results.json to compare with
    #[arg(long, env = "COMPARE")]
    compare: Option<PathBuf>,
    /// The folder for results.json, results.csv and report.html
    #[arg(long, default_value_os_t = output::usual())]
    into: PathBuf,
    /// How many seconds a machine may say nothing
    #[arg(long, default_value_t = TIMEOUT, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

/// The variables, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The machine; only the CPUs, the kernel's command line and the clock remain to be set.
    pub machine: Machine,
    /// The CPUs that the user requested.
    pub smp: Option<Smp>,
    pub append: String,
    /// Prefixes of metrics' names, and groups; empty for all.
    pub only: Vec<String>,
    pub clocks: Vec<Clock>,
    pub rounds: u32,
    pub compare: Option<PathBuf>,
    pub into: PathBuf,
    pub timeout: Duration,
}

impl Args {
    /// Checks them.
    ///
    /// # Errors
    ///
    /// A value is invalid.
    pub fn check(&self) -> Result<Settings, BenchError> {
        let clocks = match self.mode.as_str() {
            "cycles" => vec![Clock::Cycles],
            "instructions" => vec![Clock::Instructions],
            "both" => vec![Clock::Cycles, Clock::Instructions],
            mode => {
                let accepted = "give cycles, instructions or both";
                return Err(BadSetting::new("MODE", mode, "that is no clock", accepted).into());
            }
        };
        let Ok(rounds @ 1..=1000) = self.rounds.parse() else {
            let accepted = "give a number from 1 to 1000; 5 or more tell noise from change";
            let reason = "that is no count";
            return Err(BadSetting::new("ROUNDS", &self.rounds, reason, accepted).into());
        };
        let smp = match self.smp.as_str() {
            "" => None,
            smp => Some(Smp::parse(smp)?),
        };
        let compare = self.compare.clone().filter(|path| path != "");
        Ok(Settings {
            machine: self.machine.machine(BootWay::Direct)?,
            smp,
            append: self.machine.append.clone(),
            only: names::parse("BENCH", &self.bench)?,
            clocks,
            rounds,
            compare,
            into: self.into.clone(),
            timeout: Duration::from_secs(self.timeout),
        })
    }
}

impl Settings {
    /// The settings of the regression check, which ignore the environment: metrics must come from
    /// the same machines on every host.
    pub fn fixed() -> Self {
        Self {
            machine: Machine::new(BootWay::Direct).accel(Accel::Tcg),
            smp: None,
            append: String::new(),
            only: Vec::new(),
            clocks: vec![Clock::Instructions],
            rounds: 1,
            compare: None,
            into: output::usual(),
            timeout: Duration::from_secs(TIMEOUT),
        }
    }
}
