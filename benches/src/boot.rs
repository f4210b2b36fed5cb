//! Boot measurements from the host: QEMU's start to the prompt, by every boot method; bringing all
//! CPUs online; and the memory use of each CPU.
//!
//! The boot methods alternate, so that other load on the host affects all of them.

pub mod bring_up;
pub mod memory;
pub mod series;

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tocsin_tools::settings::BootWay;
use tocsin_tools::{Firmware, Limine, Machine, Session, SessionError};

use crate::error::BenchError;
use crate::run::Ticker;
use bring_up::BringUp;
use memory::PerCpu;
use series::Series;

/// Time limit: far more than a boot takes.
const TIMEOUT: Duration = Duration::from_secs(120);

/// One boot method and its measurements, or the reason why there are none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Way {
    name: String,
    /// Seconds from QEMU's start to the prompt.
    seconds: Option<Series>,
    skipped: Option<String>,
}

/// The results of these measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BootTimes {
    /// The machine that was booted.
    machine: String,
    ways: Vec<Way>,
    bring_up: BringUp,
    /// The memory use of each CPU in addition to its stacks.
    per_cpu: PerCpu,
}

/// The reason why this boot method cannot be measured here.
fn missing(way: BootWay) -> Option<String> {
    if way == BootWay::Direct {
        return None;
    }
    let firmware = match way {
        BootWay::LimineUefi => Firmware::find().err().map(|e| e.to_string()),
        BootWay::Direct | BootWay::Limine => None,
    };
    let limine = Limine::find().err().map(|e| format!("no Limine: {e}"));
    limine.or(firmware)
}

/// Measures on machines like `base`, `runs` times each; fewer times for long or reproducible
/// measurements.
///
/// # Errors
///
/// A machine does not start.
pub fn measure(base: &Machine, runs: u32, ticker: &Ticker) -> Result<BootTimes, BenchError> {
    let ways = [BootWay::Direct, BootWay::Limine, BootWay::LimineUefi];
    let missing = ways.map(missing);
    let mut seconds = ways.map(|_| Vec::new());
    for run in 1..=runs {
        ticker.status(&format!("booting by every way, {run} of {runs}"));
        for ((way, why), seconds) in ways.iter().zip(&missing).zip(&mut seconds) {
            if why.is_none() {
                seconds.push(boot(&base.clone().by(*way))?.as_secs_f64());
            }
        }
    }
    let measured = ways.iter().zip(missing).zip(&seconds);
    let ways = measured.map(|((way, skipped), seconds)| Way {
        name: way.name().to_owned(),
        seconds: Series::of(seconds),
        skipped,
    });
    let times = BootTimes {
        machine: base.describe(),
        ways: ways.collect(),
        bring_up: bring_up::measure(base, runs, ticker)?,
        per_cpu: memory::measure(base)?,
    };
    ticker.print("booting: done");
    Ok(times)
}

/// The time from QEMU's start to the prompt.
fn boot(machine: &Machine) -> Result<Duration, SessionError> {
    let mut session = Session::start(machine)?;
    session.wait_prompt(TIMEOUT)?;
    Ok(session.time_of_match())
}

impl BootTimes {
    /// Whether all values with a limit are within it.
    pub fn is_within_limits(&self) -> bool {
        self.bring_up.is_within_limit() && self.per_cpu.is_within_limit()
    }

    /// As text.
    pub fn show(&self) -> String {
        let mut out = format!("QEMU's start to the prompt, {}\n", self.machine);
        series::head(&mut out, "boot");
        for Way {
            name,
            seconds,
            skipped,
        } in &self.ways
        {
            match (seconds, skipped) {
                (Some(seconds), _) => series::row(&mut out, name, seconds, "s", 3),
                (None, why) => {
                    let why = why.as_deref().unwrap_or("-");
                    writeln!(out, "  {name:<13}not measured: {why}").expect("text takes text");
                }
            }
        }
        out += "  spread: the middle half of the runs lies within it\n";
        self.bring_up.show(&mut out);
        self.per_cpu.show(&mut out);
        out
    }
}
