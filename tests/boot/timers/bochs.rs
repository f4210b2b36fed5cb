//! The timer with deadlines of the time-stamp counter, which QEMU does not emulate: under Bochs, whose
//! local APICs have them.
//!
//! Bochs boots the ISO. Its screen is served by the RFB protocol, which nobody needs, so it runs in a network
//! namespace of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::{Completion, Failed, Trial};
use tocsin_tests::{answers, matrix};
use tocsin_tools::settings::BootWay;
use tocsin_tools::workspace;

use crate::{MODES, Result, ensure, ensure_eq};

const CPUS: u64 = 2;

/// Far more than it takes.
const PATIENCE: Duration = Duration::from_secs(120);

/// What the kernel runs, and what its last answer begins with.
const SCRIPT: &str = "timer; timers test; timers wait 10; idt 3";
const LAST: &str = "vector 3 (0x03)";

pub fn trials() -> Vec<Trial> {
    let trials = MODES.map(|mode| {
        Trial::ignorable_test(format!("timers::deadline::{mode}"), move || {
            let failed = |e: Box<dyn std::error::Error>| Failed::from(e.to_string());
            if let Some(why) = missing().map_err(failed)? {
                return Ok(Completion::ignored_with(why));
            }
            boot(mode).map_err(failed)?;
            Ok(Completion::Completed)
        })
    });
    trials.into()
}

/// Why this cannot be tried here.
fn missing() -> Result<Option<String>> {
    if let Some(why) = matrix::missing(BootWay::Limine)? {
        return Ok(Some(why));
    }
    let runs = |program: &mut Command| {
        let output = program.stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !runs(Command::new("bochs-bin").arg("--help")) {
        return Ok(Some("no Bochs; Debian has it as `bochs`".to_owned()));
    }
    if !runs(apart().arg("true")) {
        return Ok(Some("no network namespace to be had".to_owned()));
    }
    Ok(None)
}

/// A command in a network namespace of its own.
fn apart() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]);
    command
}

/// Ends Bochs with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn boot(mode: &str) -> Result {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let append = format!("apic={mode} run=\"{SCRIPT}\"");
    let mut iso = Command::new(workspace().join("tools/iso.sh"));
    iso.args(["--now", "--timeout", "0", "--append", &append, "--output"])
        .arg(directory.join("tocsin.iso"));
    let output = iso.output()?;
    ensure!(
        output.status.success(),
        "tools/iso.sh: {}",
        tocsin_tools::text(&output.stderr)
    );
    std::fs::write(directory.join("bochsrc"), configuration())?;
    // For a Bochs with a debugger, which waits for commands.
    std::fs::write(directory.join("commands"), "c\n")?;
    let mut bochs = apart();
    bochs
        .args(["bochs-bin", "-q", "-f", "bochsrc", "-rc", "commands"])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut running = Running(bochs.spawn()?);
    let said = wait_for_last(&mut running, &directory.join("serial.txt"))?;
    check(mode, &said).map_err(|e| format!("{e}\n--- COM1\n{said}").into())
}

fn configuration() -> String {
    let lines = [
        "config_interface: textconfig",
        "display_library: rfb, options=\"timeout=0\"",
        "megs: 128",
        "romimage: file=/usr/share/bochs/BIOS-bochs-latest",
        "vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest",
        "cpu: model=corei7_haswell_4770, count=2, ips=40000000, reset_on_triple_fault=0",
        "ata0-master: type=cdrom, path=tocsin.iso, status=inserted",
        "boot: cdrom",
        "log: bochs.log",
        "com1: enabled=1, mode=file, dev=serial.txt",
        "clock: sync=none",
    ];
    lines.map(|line| format!("{line}\n")).concat()
}

/// What the kernel has said when it has begun its last answer.
fn wait_for_last(running: &mut Running, serial: &Path) -> Result<String> {
    let begin = Instant::now();
    loop {
        // There is no file before the first byte.
        let said = std::fs::read(serial).unwrap_or_default();
        let said = tocsin_tools::text(&said);
        if said.contains(LAST) {
            return Ok(said);
        }
        if let Some(status) = running.0.try_wait()? {
            return Err(format!("Bochs ended, {status}; COM1:\n{said}").into());
        }
        ensure!(begin.elapsed() < PATIENCE, "no {LAST:?} on COM1:\n{said}");
        // A file tells nobody that it has grown.
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn check(mode: &str, said: &str) -> Result {
    ensure!(said.contains(&format!("apic: {mode}: ")), "not in {mode}");
    ensure!(
        said.contains("TSC-deadline mode: yes"),
        "there is no TSC-deadline mode"
    );
    let names = [("one-shot", 1), ("periodic", 10), ("deadline", 1)];
    let counts = names.map(|(name, count)| (name.to_owned(), count, count));
    ensure_eq!(answers::timer_counts(said), counts, "timer interrupts");
    super::check_test(said, CPUS)?;
    let (_, wait) = said
        .split_once("Fired 10 ms after it was started, ")
        .unwrap_or_default();
    let (late, rest) = wait.split_once(" TSC cycles late").unwrap_or_default();
    // Here a cycle is an instruction too.
    let late: u64 = late.parse()?;
    ensure!((1..=super::LATENCY).contains(&late), "{late} cycles late");
    ensure!(
        rest.starts_with(", at interrupt 1 of"),
        "a deadline takes one interrupt"
    );
    Ok(())
}
