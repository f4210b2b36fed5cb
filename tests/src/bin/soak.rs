//! `make soak`: random machines, one after the other, on which all sources interrupt at once, until
//! the time limit. All properties of a machine derive from its number, so that it can be reproduced
//! separately.

use std::error::Error;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use fastrand::Rng;
use tocsin_tests::build::debug_image;
use tocsin_tests::interrupts::counted_by_both;
use tocsin_tools::settings::{Accel, BootWay, Memory, Smp};
use tocsin_tools::{Machine, Outcome, Session, workspace};

/// Time limit: far more than a machine takes, even with the maximum number of CPUs and on a busy
/// host.
const TIMEOUT: Duration = Duration::from_secs(900);

/// Maximum number of CPUs, as a power of two.
const MOST_CPUS: u32 = 7;

/// Maximum number of CPUs of a machine whose interrupts QEMU logs.
const MOST_LOGGED: u32 = 8;

/// Interrupt sources in addition to the CPUs and the chipset.
const DEVICES: [&str; 8] = [
    "-device",
    "edu,addr=4",
    "-device",
    "edu,addr=8",
    "-device",
    "virtio-rng-pci,disable-legacy=on",
    "-device",
    "edu",
];

/// Boots random machines and lets everything interrupt.
#[derive(Parser)]
struct Options {
    /// How long, in minutes; with 0, one machine is booted.
    #[arg(long, env = "MINUTES", default_value_t = 10)]
    minutes: u64,
    /// The first machine's number; those after it have the next numbers.
    #[arg(long, env = "SEED")]
    seed: Option<u64>,
    /// Machines that run side by side.
    #[arg(long, env = "AT_A_TIME", default_value_t = 2)]
    at_a_time: u64,
}

/// A machine, and the commands that it runs.
struct Draw {
    number: u64,
    board: &'static str,
    cpu: &'static str,
    mode: &'static str,
    cpus: u32,
    is_debug: bool,
    is_logged: bool,
    script: String,
}

impl Draw {
    fn new(number: u64) -> Self {
        let mut rng = Rng::with_seed(number);
        // Small and large machines are equally likely.
        let largest = 1 << rng.u32(0..=MOST_CPUS);
        let cpus = rng.u32(largest / 2 + 1..=largest);
        let cpu = rng.choice(["max", "max", "qemu64"]).unwrap_or("max");
        let mode = rng.choice(["x2apic", "xapic"]).unwrap_or("auto");
        let mut parts = [
            "nest".to_owned(),
            "ipi".to_owned(),
            "tlb".to_owned(),
            format!("lines test {}", rng.u32(0..cpus)),
            format!("timers test {}", rng.u32(..)),
            format!("nmi nest {}", rng.u32(0..cpus)),
            format!("pci shared {} {}", rng.u32(1..200), rng.u32(0..cpus)),
            format!("pci edu {} {}", rng.u32(1..200), rng.u32(0..cpus)),
            format!("pci virtio {} {}", rng.u32(1..50), rng.u32(0..cpus)),
        ];
        rng.shuffle(&mut parts);
        let storm = format!("storm {} {}", rng.u32(1..=8), rng.u32(..));
        let script = format!("{}; {storm}; irqs json; poweroff", parts.join("; "));
        Self {
            number,
            board: rng.choice(["q35", "pc"]).unwrap_or("q35"),
            cpu,
            // Without the feature there is only one mode.
            mode: if cpu == "max" { mode } else { "auto" },
            cpus,
            is_debug: rng.u8(..4) == 0,
            is_logged: cpus <= MOST_LOGGED && rng.bool(),
            script,
        }
    }

    fn machine(&self, debug_image: &PathBuf) -> Result<Machine, Box<dyn Error>> {
        let machine = Machine::new(BootWay::Direct)
            .accel(Accel::Tcg)
            .board(self.board)
            .cpu(self.cpu)
            .smp(Smp::parse(&self.cpus.to_string())?)
            .memory(Memory::parse("1G")?)
            .args(DEVICES)
            .append(format!("apic={} run=\"{}\"", self.mode, self.script));
        let machine = if self.is_debug {
            machine.image(debug_image)
        } else {
            machine
        };
        Ok(if self.is_logged {
            machine.log("int")
        } else {
            machine
        })
    }

    /// Boots it and waits until it powers off.
    fn run(&self, debug_image: &PathBuf) -> Result<(), Box<dyn Error>> {
        let mut session = Session::start(&self.machine(debug_image)?)?;
        let ended = session.expect_exit(Outcome::Kernel(0), TIMEOUT);
        let text = session.transcript().text_from(0);
        ended.map_err(|error| format!("{error}\n{}\n{text}", session.command_line()))?;
        if self.is_logged {
            counted_by_both(&text, &session.log())
                .map_err(|error| format!("{error}\n{}\n{text}", session.command_line()))?;
        }
        Ok(())
    }

    fn describe(&self) -> String {
        let profile = if self.is_debug { "debug" } else { "release" };
        let mut text = format!(
            "{:>10}  {:<3}  {:<6}  {:<6}  {:>3} CPUs  {profile:<7}",
            self.number, self.board, self.cpu, self.mode, self.cpus
        );
        if self.is_logged {
            // Writing to a string never fails.
            let _ = write!(text, "  counted by QEMU, too");
        }
        text
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    let image = debug_image()?;
    let first = options.seed.unwrap_or_else(|| fastrand::u32(..).into());
    tocsin_tools::outln!("soak: {} min from machine {first}", options.minutes);
    let begin = Instant::now();
    let is_over = || begin.elapsed() >= Duration::from_secs(60 * options.minutes);
    let (next, booted) = (AtomicU64::new(first), AtomicU64::new(0));
    let failed = Mutex::new(Vec::new());
    let directory = workspace().join("target/soak");
    std::fs::create_dir_all(&directory)?;
    std::thread::scope(|scope| {
        for _ in 0..options.at_a_time {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    // At least one machine is booted, even if the time limit is 0.
                    if number != first && is_over() {
                        break;
                    }
                    booted.fetch_add(1, Ordering::Relaxed);
                    let draw = Draw::new(number);
                    let started = Instant::now();
                    let result = draw.run(&image).map_err(|error| error.to_string());
                    let taken = started.elapsed().as_secs();
                    let line = format!("{}  {taken} s", draw.describe());
                    let Err(error) = result else {
                        tocsin_tools::outln!("  ok      {line}");
                        continue;
                    };
                    let file = directory.join(format!("{}.txt", draw.number));
                    let saved = std::fs::write(&file, &error);
                    let report =
                        saved.map_or_else(|e| e.to_string(), |()| file.display().to_string());
                    let why = error.lines().next().unwrap_or_default();
                    tocsin_tools::outln!("  FAILED  {line}\n          {why}\n          {report}");
                    let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                    failed.push(draw.number);
                }
            });
        }
    });
    let booted = booted.into_inner();
    let failed = failed.into_inner()?;
    tocsin_tools::outln!("soak: {booted} machines, {} failed", failed.len());
    for number in &failed {
        tocsin_tools::outln!("  again: make soak SEED={number} MINUTES=0");
    }
    Ok(ExitCode::from(u8::from(!failed.is_empty())))
}
