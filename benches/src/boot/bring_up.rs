//! AP bring-up time, by the kernel's own clock: from the first INIT until the last AP is ready.
//!
//! Measured in two ways. With a host thread for each CPU, it is the time that a user experiences,
//! and depends on the host. With all CPUs in one thread and a clock that counts instructions
//! (QEMU's `-icount`), it is reproducible and can be checked against a limit.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use tocsin_tools::{Machine, Outcome, Session, SessionError};

use crate::boot::TIMEOUT;
use crate::boot::series::{self, Series};
use crate::error::BenchError;
use crate::plan;
use crate::record::Clock;
use crate::run::Ticker;

/// CPUs of the machine whose boot is timed up to the ready line.
const READY_CPUS: u32 = 4;

/// Numbers of APs to bring online: typical ones, and the maximum that 8-bit APIC IDs can address; 4
/// and 64 are compared.
const OTHERS: [u32; 8] = [1, 3, 4, 7, 31, 63, 64, 254];

/// Above this number, a boot takes seconds, so there are fewer runs.
const MANY: u32 = 100;
const RUNS_OF_MANY: u32 = 5;

/// Number of runs of a reproducible measurement: enough to verify that it is reproducible.
const COUNTED_RUNS: u32 = 3;

/// The numbers of APs that are compared, and the maximum ratio of their times: the kernel waits
/// once for all APs, not once for each.
const FEW: u32 = 4;
const MANY_MORE: u32 = 64;
const LIMIT: f64 = 3.0;

/// A number of APs, and their bring-up time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    others: u32,
    /// Milliseconds of the kernel's clock.
    milliseconds: Series,
}

/// The results of these measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BringUp {
    /// The machine whose boot is timed up to the ready line.
    machine: String,
    /// Seconds from QEMU's start to the ready line.
    ready_seconds: Option<Series>,
    /// With a host thread for each CPU.
    threads: Vec<Row>,
    /// With one thread, and one nanosecond per instruction.
    counted: Vec<Row>,
    /// Ratio of the times for 64 and for 4 APs, in instructions.
    ratio: Option<f64>,
}

/// Measures; the machines alternate.
///
/// # Errors
///
/// A machine does not start all its CPUs.
pub fn measure(base: &Machine, runs: u32, ticker: &Ticker) -> Result<BringUp, BenchError> {
    let ready_machine = machine(base, READY_CPUS);
    let mut ready = Vec::new();
    let mut threads = OTHERS.map(|_| Vec::new());
    let mut counted = OTHERS.map(|_| Vec::new());
    for run in 0..runs {
        ticker.status(&format!("bringing CPUs online, {} of {runs}", run + 1));
        ready.push(seconds_to_ready(&ready_machine)?);
        for (&others, times) in OTHERS.iter().zip(&mut threads) {
            if others < MANY || run < RUNS_OF_MANY {
                times.push(milliseconds(&machine(base, others + 1), others)?);
            }
        }
        for (&others, times) in OTHERS.iter().zip(&mut counted) {
            if run < COUNTED_RUNS && others < MANY {
                let machine = machine(base, others + 1);
                let machine = plan::by_clock(machine, Clock::Instructions);
                times.push(milliseconds(&machine, others)?);
            }
        }
    }
    let (threads, counted) = (rows(&threads), rows(&counted));
    Ok(BringUp {
        machine: ready_machine.describe(),
        ready_seconds: Series::of(&ready),
        ratio: ratio(&counted),
        threads,
        counted,
    })
}

fn machine(base: &Machine, cpus: u32) -> Machine {
    let machine = plan::with_cpus(base, cpus);
    machine.append("run=poweroff")
}

fn seconds_to_ready(machine: &Machine) -> Result<f64, SessionError> {
    let mut session = Session::start(machine)?;
    session.expect("tocsin: ready: ", TIMEOUT)?;
    Ok(session.time_of_match().as_secs_f64())
}

/// Boots once, and parses the kernel's line about the APs.
fn milliseconds(machine: &Machine, others: u32) -> Result<f64, BenchError> {
    let mut session = Session::start(machine)?;
    let line = format!("smp: {others} of {others} other CPUs started in ");
    session.expect(&line, TIMEOUT)?;
    let duration = session.expect("\r\n", TIMEOUT)?;
    session.expect_exit(Outcome::Kernel(0), TIMEOUT)?;
    in_milliseconds(&duration).ok_or(BenchError::Duration(duration))
}

/// Parses a duration in the kernel's format: `11.9 ms`.
fn in_milliseconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_once(' ')?;
    let scale = match unit {
        "ns" => 1e-6,
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        _ => return None,
    };
    Some(number.parse::<f64>().ok()? * scale)
}

fn rows(times: &[Vec<f64>]) -> Vec<Row> {
    let rows = OTHERS.iter().zip(times).filter_map(|(&others, times)| {
        let milliseconds = Series::of(times)?;
        Some(Row {
            others,
            milliseconds,
        })
    });
    rows.collect()
}

fn ratio(rows: &[Row]) -> Option<f64> {
    let median = |others| {
        let row = rows.iter().find(|row| row.others == others)?;
        Some(row.milliseconds.median)
    };
    Some(median(MANY_MORE)? / median(FEW)?)
}

impl BringUp {
    /// Writes the tables.
    pub fn show(&self, out: &mut String) {
        *out += &format!("\nQEMU's start to the ready line, {}\n", self.machine);
        if let Some(seconds) = &self.ready_seconds {
            series::head(out, "boot");
            series::row(out, "direct", seconds, "s", 3);
        }
        let kinds = [
            ("a thread of the host for each CPU", &self.threads),
            ("one thread, 1 ns for each instruction", &self.counted),
        ];
        for (kind, rows) in kinds {
            *out += &format!("\nfirst INIT to the last CPU ready, by the kernel's clock, {kind}\n");
            series::head(out, "other CPUs");
            for row in rows {
                series::row(out, &row.others.to_string(), &row.milliseconds, "ms", 2);
            }
        }
        if let Some(ratio) = self.ratio {
            let met = self.is_within_limit();
            *out += &format!(
                "  {MANY_MORE} others take {ratio:.2} times as long as {FEW}; at most {LIMIT} is the target: {}\n",
                if met { "met" } else { "MISSED" }
            );
        }
    }

    /// Whether the growth of the time with the number of CPUs is within the limit.
    pub fn is_within_limit(&self) -> bool {
        self.ratio.is_some_and(|ratio| ratio <= LIMIT)
    }
}
