//! Measures from the host: how long the kernel takes from QEMU's start to its
//! prompt, by every way into it, and to bring all CPUs online; and how large it is.
//!
//! The ways take turns, so that whatever else the host does falls on all of them.

mod bring_up;
mod figures;
mod memory;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use tocsin_tools::settings::BootWay;
use tocsin_tools::{Firmware, Limine, Machine, Session, SessionError, workspace};

use bring_up::BringUp;
use figures::Figures;
use memory::PerCpu;

/// Measures the kernel: QEMU's start to the prompt, all CPUs online, and the size of the image
#[derive(Parser)]
struct Args {
    /// How often each is measured; less often where it takes long or comes out alike
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
}

/// Far more than a boot takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where the figures go for other programs.
const RESULTS: &str = "target/bench/results.json";

/// One way to boot, and what was measured; or why it was not.
#[derive(Debug, Serialize)]
struct Boot {
    way: &'static str,
    /// Seconds from QEMU's start to the prompt.
    seconds: Option<Figures>,
    skipped: Option<String>,
}

/// All that is measured.
#[derive(Debug, Serialize)]
struct Results {
    /// The machine that was booted.
    machine: String,
    boot: Vec<Boot>,
    bring_up: BringUp,
    /// What the kernel takes for each CPU beyond its stacks.
    per_cpu: PerCpu,
    /// Size of the image without debug information, in bytes.
    image_bytes: u64,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
enum BenchError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("{what}: {source}")]
    Files {
        what: String,
        source: std::io::Error,
    },
    #[error("the kernel took {0:?} to start its CPUs, which is no duration")]
    Duration(String),
    #[error("`memory` shows {0:?} for the frames in use, which are no sizes")]
    Memory(String),
}

fn main() -> ExitCode {
    let args = Args::parse();
    match measure(args.runs).and_then(|results| {
        show(&results, args.runs);
        save(&results)?;
        Ok(results.bring_up.is_within_limit() && results.per_cpu.is_within_limit())
    }) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("tocsin-benches: a figure above is missed");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("tocsin-benches: {e}");
            ExitCode::FAILURE
        }
    }
}

/// Why this way cannot be measured here.
fn missing(way: BootWay) -> Option<String> {
    if way == BootWay::Direct {
        return None;
    }
    let firmware = match way {
        BootWay::LimineUefi => Firmware::find().err().map(|e| e.to_string()),
        BootWay::Direct | BootWay::Limine => None,
    };
    Limine::find()
        .err()
        .map(|e| format!("no Limine: {e}"))
        .or(firmware)
}

fn measure(runs: u32) -> Result<Results, BenchError> {
    let ways = [BootWay::Direct, BootWay::Limine, BootWay::LimineUefi];
    let image = workspace().join("target/image/tocsin.elf");
    let file = std::fs::metadata(&image).map_err(|source| BenchError::Files {
        what: format!("cannot read {}; `make build` makes it", image.display()),
        source,
    })?;
    let missing = ways.map(missing);
    let mut seconds = ways.map(|_| Vec::new());
    for _ in 0..runs {
        for ((way, why), seconds) in ways.iter().zip(&missing).zip(&mut seconds) {
            if why.is_none() {
                seconds.push(boot(*way)?.as_secs_f64());
            }
        }
    }
    let measured = ways.iter().zip(missing).zip(&seconds);
    let boot = measured.map(|((way, skipped), seconds)| Boot {
        way: way.name(),
        seconds: Figures::of(seconds),
        skipped,
    });
    Ok(Results {
        machine: Machine::new(BootWay::Direct).describe(),
        boot: boot.collect(),
        bring_up: bring_up::measure(runs)?,
        per_cpu: memory::measure()?,
        image_bytes: file.len(),
    })
}

/// The time from QEMU's start to the prompt.
fn boot(way: BootWay) -> Result<Duration, SessionError> {
    let mut session = Session::start(&Machine::new(way))?;
    session.wait_prompt(PATIENCE)?;
    Ok(session.time_of_match())
}

fn show(results: &Results, runs: u32) {
    println!(
        "QEMU's start to the prompt, {}, {runs} runs each",
        results.machine
    );
    println!(
        "  {:<13}{:>10}{:>10}{:>10}{:>10}",
        "boot", "median", "spread", "least", "most"
    );
    for Boot {
        way,
        seconds,
        skipped,
    } in &results.boot
    {
        match (seconds, skipped) {
            (Some(figures), _) => println!(
                "  {way:<13}{:>8.3} s{:>8.3} s{:>8.3} s{:>8.3} s",
                figures.median, figures.spread, figures.least, figures.most
            ),
            (None, why) => println!("  {way:<13}not measured: {}", why.as_deref().unwrap_or("-")),
        }
    }
    println!("  spread: the middle half of the runs lies within it");
    results.bring_up.show();
    results.per_cpu.show();
    println!("\nkernel image without debug information");
    println!(
        "  {:<13}{:>8} KiB",
        "size",
        results.image_bytes.div_ceil(1024)
    );
}

fn save(results: &Results) -> Result<(), BenchError> {
    let path = workspace().join(RESULTS);
    let json = serde_json::to_string_pretty(results).expect("numbers and names are JSON");
    let dir = path.parent().expect("the path has a directory");
    let written = std::fs::create_dir_all(dir).and_then(|()| std::fs::write(&path, json + "\n"));
    written.map_err(|source| BenchError::Files {
        what: format!("cannot write {}", path.display()),
        source,
    })?;
    println!("\n{RESULTS}");
    Ok(())
}
