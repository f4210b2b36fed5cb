//! The instructions that a metric consists of.
//!
//! The group that measures the metric runs once more, while the emulator logs each instruction on
//! every CPU. A window is the code between two reads of the time-stamp counter; the metric's window
//! is one with as many instructions as the metric reported in the same run, including the overhead
//! of the measurement. A listing therefore shows exactly the counted code.

#[cfg(test)]
mod tests;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::BufReader;

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SectionKind};
use serde::{Deserialize, Serialize};
use tocsin_tools::{Outcome, Session, workspace};

use crate::error::BenchError;
use crate::host;
use crate::plan;
use crate::record::{Clock, label};
use crate::results::{Key, Results};
use crate::run::{Ticker, records};
use crate::settings::Settings;
use crate::targets;
use trace::Trace;

/// Parts of the kernel that wait for a long time, or are large, and are not on an interrupt path:
/// they are not logged, because the log would grow to gigabytes.
const NOT_LOGGED: &[&str] = &[
    "tocsin::start::",
    "tocsin::memory::",
    "kernel_start",
    "__udivti3",
];

/// Prefix of the names of the kernel's gates: every metric with a target passes through one.
const ENTRY: &str = "entry_";

/// Part of the names of all measuring functions.
const MEASURING: &str = "::bench::";

/// Above this number of instructions, there is only a table.
const LISTED: usize = 2_000;

/// The instructions of a metric.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listing {
    /// The listed metric, in instructions.
    pub key: Key,
    /// Number of instructions, including those of the measurement.
    pub instructions: usize,
    /// The overhead of the measurement, which the metric excludes.
    pub overhead: u64,
    /// The functions that contain them, in the order of first execution.
    pub stages: Vec<Stage>,
    /// All of them; empty if there are very many.
    pub lines: Vec<Line>,
}

impl Listing {
    /// Breakdown of the number: instructions of the gates, which are the entry and exit of every
    /// interrupt, of the measurement, and of the kernel in between.
    pub fn why(&self) -> String {
        let sum = |of: &dyn Fn(&Stage) -> bool| -> usize {
            let stages = self.stages.iter().filter(|stage| of(stage));
            stages.map(|stage| stage.instructions).sum()
        };
        let is_gate = |stage: &Stage| stage.function.starts_with(ENTRY);
        let measures = |stage: &Stage| stage.function.contains(MEASURING);
        let (gates, measuring) = (sum(&is_gate), sum(&measures));
        let entered = self.stages.iter().filter(|stage| is_gate(stage));
        let cpus = entered
            .map(|stage| stage.cpu)
            .collect::<BTreeSet<_>>()
            .len();
        let rest = self.instructions - gates - measuring;
        let mut why = format!(
            "{gates} in gates, in and out on {cpus} CPU{}; {rest} in the kernel's functions; \
             {measuring} in the benchmark, its handler and the other CPUs' waiting",
            if cpus == 1 { "" } else { "s" }
        );
        if cpus > 1 {
            let each = gates / cpus;
            why += &format!(
                ". One thread of the emulator runs all CPUs in turn, so the {each} gate instructions \
                 of each of the {cpus} CPUs are counted one after another; CPUs of their own go through \
                 them at the same time"
            );
        }
        why
    }
}

/// The instructions of a function on one CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    pub cpu: u32,
    pub function: String,
    pub instructions: usize,
}

/// An executed instruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub cpu: u32,
    pub address: u64,
    /// QEMU's disassembly.
    pub text: String,
    pub function: String,
}

/// Names of the kernel's functions, by their addresses.
struct Functions(BTreeMap<u64, String>);

/// Lists the instructions of each missed target; those that cannot be listed are reported and
/// skipped.
pub fn of_missed(results: &Results, settings: &Settings, ticker: &Ticker) -> Vec<Listing> {
    let mut listings: Vec<Listing> = Vec::new();
    for key in wanted(results) {
        let what = label(&key.name, &key.variant, &key.param);
        ticker.status(&format!("listing the instructions of {what}"));
        match listing(&key, settings) {
            Ok(listing) => {
                ticker.print(&format!("instructions of {what} listed"));
                listings.push(listing);
            }
            Err(e) => ticker.print(&format!("no listing of {what}: {e}")),
        }
    }
    listings
}

/// The metrics of missed targets, each name once: on the machine with the fewest CPUs.
fn wanted(results: &Results) -> Vec<Key> {
    let mut wanted: Vec<Key> = Vec::new();
    for target in targets::of(results) {
        // Under contention the path is the same as the interrupt's, and the sections are long.
        if target.is_met() || target.metric.variant != "tocsin" {
            continue;
        }
        let key = Key {
            clock: Clock::Instructions,
            ..target.metric
        };
        let is_counted = results
            .metrics
            .iter()
            .any(|metric| metric.key == key && metric.unit == Clock::Instructions.to_string());
        if !is_counted {
            continue;
        }
        match wanted.iter_mut().find(|known| known.name == key.name) {
            Some(known) if key.cpus < known.cpus => *known = key,
            Some(_) => {}
            None => wanted.push(key),
        }
    }
    wanted
}

/// Runs the metric's group with a log of instructions, and finds the metric in it.
fn listing(key: &Key, settings: &Settings) -> Result<Listing, BenchError> {
    let functions = Functions::of_image()?;
    let ranges = functions.logged();
    let machine = plan::traced(settings, key).args(["-dfilter", &ranges]);
    let mut session = Session::start(&machine)?;
    session.expect_exit(Outcome::Kernel(0), settings.timeout)?;
    let boot = records(&session)?;
    let of_metric = |metric: &&crate::record::Metric| {
        (&metric.name, &metric.variant, &metric.param) == (&key.name, &key.variant, &key.param)
    };
    let trouble = |why: &str| BenchError::Listing(why.to_owned());
    let metric = boot.metrics.iter().find(of_metric);
    let metric = metric.ok_or_else(|| trouble("it was not measured again"))?;
    let log = session.log_path();
    let file = File::open(log).map_err(BenchError::file("read", log))?;
    let trace = Trace::read(BufReader::new(file)).map_err(BenchError::file("read", log))?;
    let length = metric.summary.p50 + metric.overhead;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let enters = |window: &[(u32, u64)]| {
        let mut names = window.iter().map(|&(_, address)| functions.at(address));
        names.any(|name| name.starts_with(ENTRY))
    };
    let window = trace.window(length, enters).ok_or_else(|| {
        BenchError::Listing(format!(
            "no two readings of the counter with a gate between are {length} logged \
                 instructions apart"
        ))
    })?;
    let lines: Vec<_> = window
        .iter()
        .map(|&(cpu, address)| Line {
            cpu,
            address,
            text: trace.text(address).to_owned(),
            function: functions.at(address).to_owned(),
        })
        .collect();
    Ok(Listing {
        key: key.clone(),
        instructions: lines.len(),
        overhead: metric.overhead,
        stages: stages(&lines),
        lines: if lines.len() > LISTED {
            Vec::new()
        } else {
            lines
        },
    })
}

/// Number of instructions in each function.
fn stages(lines: &[Line]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for line in lines {
        let same = |stage: &&mut Stage| (stage.cpu, &stage.function) == (line.cpu, &line.function);
        match stages.iter_mut().find(same) {
            Some(stage) => stage.instructions += 1,
            None => stages.push(Stage {
                cpu: line.cpu,
                function: line.function.clone(),
                instructions: 1,
            }),
        }
    }
    stages
}

impl Functions {
    /// The symbols of the measured image.
    fn of_image() -> Result<Self, BenchError> {
        let path = workspace().join(host::IMAGE);
        let bytes = std::fs::read(&path).map_err(BenchError::file("read", &path))?;
        let elf = object::File::parse(bytes.as_slice()).map_err(|e| BenchError::Content {
            path: path.clone(),
            why: e.to_string(),
        })?;
        // Assembly symbols have no type.
        let is_code = |index| {
            elf.section_by_index(index)
                .is_ok_and(|section| section.kind() == SectionKind::Text)
        };
        let symbols = elf
            .symbols()
            .filter(|symbol| symbol.section_index().is_some_and(is_code));
        let named = symbols.filter_map(|symbol| {
            let name = rustc_demangle::demangle(symbol.name().ok()?);
            Some((symbol.address(), format!("{name:#}")))
        });
        Ok(Self(named.collect()))
    }

    /// The function that contains an address, according to the symbols.
    fn at(&self, address: u64) -> &str {
        let below = self.0.range(..=address).next_back();
        below.map_or("?", |(_, name)| name)
    }

    /// The logged address ranges, in the format of QEMU's -dfilter.
    fn logged(&self) -> String {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        let ends = self.0.keys().skip(1);
        for ((&from, name), &end) in self.0.iter().zip(ends) {
            if NOT_LOGGED.iter().any(|part| name.contains(part)) {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.1 == from => last.1 = end,
                _ => ranges.push((from, end)),
            }
        }
        let ranges = ranges
            .iter()
            .map(|(from, end)| format!("{from:#x}..{:#x}", end - 1));
        ranges.collect::<Vec<_>>().join(",")
    }
}
