//! The latency suite: boots the kernel, runs its benchmarks, and produces a table, a report,
//! machine-readable files, a comparison, and a regression check.

#![expect(
    clippy::format_push_string,
    reason = "writing to a string cannot fail, and this says so without an answer for it"
)]

mod boot;
mod columns;
mod compare;
mod csv_file;
mod error;
#[cfg(test)]
mod fixtures;
mod host;
mod listing;
mod names;
mod output;
mod peers;
mod plan;
mod plot;
mod record;
mod regression;
mod report;
mod results;
mod run;
mod settings;
mod table;
mod targets;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tocsin_tools::settings::{BootWay, MachineArgs};

use error::BenchError;
use host::Host;
use output::Folder;
use peers::InstalledPeer;
use record::{Boot, Clock, Skip};
use regression::Counted;
use results::Results;
use run::{Runner, Ticker};
use settings::{Args, Settings};

/// Measures the kernel under QEMU
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the suite and write the report
    Suite(Args),
    /// Count instructions, and fail where they are more than was accepted
    Check {
        #[command(flatten)]
        counted: Counted,
        /// Compare these results instead of measuring
        #[arg(long)]
        results: Option<PathBuf>,
    },
    /// Count instructions, and accept them
    Accept {
        #[command(flatten)]
        counted: Counted,
    },
    /// Run the suite together with other kernels
    Peers(Args),
    /// Measure booting alone, this often
    Boot {
        #[arg(default_value_t = 5)]
        runs: u32,
        #[command(flatten)]
        machine: MachineArgs,
    },
    /// Write the report of results that were measured before
    Report {
        results: PathBuf,
        /// The folder for it
        #[arg(long, default_value_os_t = output::usual())]
        into: PathBuf,
    },
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            tocsin_tools::errln!("tocsin-benches: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Executes the command; returns whether all checks succeeded.
fn run(command: &Command) -> Result<bool, BenchError> {
    match command {
        Command::Suite(args) => suite(&args.check()?, false),
        Command::Peers(args) => suite(&args.check()?, true),
        Command::Check { counted, results } => counted.check(results.as_deref()),
        Command::Accept { counted } => counted.accept(),
        Command::Boot { runs, machine } => {
            let machine = machine.machine(BootWay::Direct)?;
            let boot = boot::measure(&machine, *runs, &Ticker::new())?;
            tocsin_tools::output::write(boot.show());
            Ok(boot.is_within_limits())
        }
        Command::Report { results, into } => {
            let results = Results::load(results)?;
            let folder = Folder::prepare(into)?;
            folder.write("report.html", &report::of(&results)?)?;
            tocsin_tools::outln!("{folder}/report.html written");
            Ok(true)
        }
    }
}

/// The whole suite, or the part that `BENCH` selects.
fn suite(settings: &Settings, with_peers: bool) -> Result<bool, BenchError> {
    // The old results are read first, before the measurements take minutes.
    let old = settings.compare.as_deref().map(Results::load).transpose()?;
    let folder = Folder::prepare(&settings.into)?;
    let ticker = Ticker::new();
    if let Some(warning) = old.as_ref().and_then(|old| too_few(old, settings)) {
        ticker.print(&warning);
    }
    let host = Host::now(&plan::bare(settings, Clock::Cycles).1, &settings.append);
    let (mut installed, mut others) = if with_peers {
        peers::find()?
    } else {
        <_>::default()
    };
    for peer in &others {
        let why = peer.absent.as_deref().unwrap_or_default();
        ticker.print(&format!("{}: {why}", peer.name));
    }
    let mut boots: Vec<Boot> = Vec::new();
    let mut failures: Vec<Skip> = Vec::new();
    for &clock in &settings.clocks {
        let planned = plan::suite(settings, clock);
        let rounds = if clock == Clock::Cycles {
            settings.rounds
        } else {
            1
        };
        for round in 1..=rounds {
            let runner = Runner {
                ticker: &ticker,
                timeout: settings.timeout,
                shows: round == 1,
            };
            let booted = match clock {
                Clock::Cycles => run::in_turn(&planned, (round, rounds), runner),
                Clock::Instructions => run::at_once(&planned, runner),
            };
            for (label, boot) in booted {
                match boot {
                    Ok(boot) => boots.push(boot),
                    Err(why) => failures.push(failure(label, &why, &ticker)),
                }
            }
            // More rounds cannot correct this error, and the existing results are kept.
            if boots.is_empty() {
                return Err(BenchError::Nothing);
            }
            for contender in &mut installed {
                contender.round(settings, clock, round == 1, &ticker);
            }
        }
    }
    plan::narrow(&mut boots, &settings.only)?;
    let mut results = Results::new(host, &boots);
    let is_whole = failures.is_empty();
    results.skips.extend(failures);
    others.extend(installed.into_iter().map(InstalledPeer::into_peer));
    results.peers = others;
    // This is host time, as are cycles.
    let in_cycles = settings.clocks.contains(&Clock::Cycles);
    if settings.only.is_empty() && settings.smp.is_none() && in_cycles && !with_peers {
        let boot = boot::measure(&settings.machine, settings.rounds, &ticker)?;
        results.boot = Some(boot);
    }
    // The measurements are kept even if the listings fail.
    save(&results, &folder)?;
    results.listings = listing::of_missed(&results, settings, &ticker);
    ticker.status("");
    show(&results, &settings.clocks);
    save(&results, &folder)?;
    tocsin_tools::outln!("{folder}/report.html, results.json and results.csv written");
    if let Some(mut old) = old {
        old.metrics.retain(|it| plan::covers(settings, &it.key));
        tocsin_tools::output::write(format_args!(
            "\n{}",
            compare::compare(&old, &results).show()
        ));
    }
    // A missed target is reported with its instructions; regressions are left to the regression
    // check.
    Ok(is_whole)
}

/// The note that so few rounds cannot mark any difference in cycles.
fn too_few(old: &Results, settings: &Settings) -> Option<String> {
    let in_cycles = old.metrics.iter();
    let in_cycles =
        in_cycles.filter(|it| plan::covers(settings, &it.key) && it.key.clock == Clock::Cycles);
    let before = in_cycles.map(|metric| metric.rounds.len()).max()?;
    let max_confidence = compare::max_confidence(before, settings.rounds as usize);
    (max_confidence < compare::CONFIDENCE).then(|| {
        format!(
            "COMPARE: {before} rounds against {} allow a confidence of {:.0} % at most, and {:.0} % is needed (measure 4 \
             rounds or more in both runs)",
            settings.rounds,
            (max_confidence * 100.0).floor(),
            compare::CONFIDENCE * 100.0
        )
    })
}

/// A machine that did not complete its measurements: the metrics of the others are kept.
fn failure(label: String, why: &BenchError, ticker: &Ticker) -> Skip {
    ticker.print(&format!("{label}: FAILED {why}"));
    let why = why
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned();
    Skip { name: label, why }
}

fn show(results: &Results, clocks: &[Clock]) {
    for &clock in clocks {
        tocsin_tools::output::write(table::metrics(results, clock));
    }
    tocsin_tools::output::write(format_args!(
        "{}{}",
        table::skips(results),
        table::peers(results)
    ));
    tocsin_tools::output::write(table::targets(results));
    if let Some(boot) = &results.boot {
        tocsin_tools::output::write(format_args!("\n{}", boot.show()));
    }
    tocsin_tools::outln!();
}

fn save(results: &Results, folder: &Folder) -> Result<(), BenchError> {
    folder.write("results.json", &results.to_json())?;
    folder.write("results.csv", &csv_file::of(results))?;
    folder.write("report.html", &report::of(results)?)
}
