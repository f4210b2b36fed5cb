//! The kernel under Bochs, which emulates TSC-deadline mode, unlike QEMU, and is stricter than
//! QEMU.
//!
//! Bochs boots the ISO. It serves its screen through the RFB protocol, which the tests do not use,
//! so it runs in its own network namespace.

mod deadline;
mod machine;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tocsin_tools::workspace;

use crate::{Result, ensure, missing_limine, trial_unless};

const CPUS: u64 = 2;

/// Far more time than a run takes, even if other machines share the host.
const TIMEOUT: Duration = Duration::from_secs(400);

/// The last command, and the beginning of its output, which nothing else prints.
const LAST: (&str, &str) = ("idt 3 json", "@json {\"kind\":\"gate\",\"vector\":3,");

pub fn trials() -> Vec<Trial> {
    let mut trials = deadline::trials();
    trials.extend(machine::trials());
    trials
}

/// A test that is skipped, with the reason, if Bochs or its ISO is missing.
fn trial(name: String, test: impl FnOnce() -> Result + Send + 'static) -> Trial {
    trial_unless(missing, name, test)
}

/// The reason why the test cannot run here.
fn missing() -> Result<Option<String>> {
    if let Some(why) = missing_limine()? {
        return Ok(Some(why));
    }
    let runs = |program: &mut Command| {
        let output = program.stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !runs(Command::new("bochs-bin").arg("--help")) {
        let why = "no Bochs; install it (Debian: apt-get install bochs bochsbios vgabios)";
        return Ok(Some(why.to_owned()));
    }
    for (file, package) in [(BIOS, "bochsbios"), (VGA_BIOS, "vgabios")] {
        if !Path::new(file).exists() {
            return Ok(Some(format!(
                "no {file}; install it (Debian: apt-get install {package})"
            )));
        }
    }
    if !runs(apart().arg("true")) {
        return Ok(Some(
            "no network namespace to be had; `unshare --map-root-user --net true` says why"
                .to_owned(),
        ));
    }
    Ok(None)
}

const BIOS: &str = "/usr/share/bochs/BIOS-bochs-latest";
const VGA_BIOS: &str = "/usr/share/bochs/VGABIOS-lgpl-latest";

/// A command in its own network namespace.
fn apart() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]);
    command
}

/// Stops Bochs when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Bochs may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Boots the kernel in this mode of the local APICs, runs these commands, and returns the output of
/// COM1.
fn boot_output(mode: &str, script: &str) -> Result<String> {
    let directory = tempfile::tempdir()?;
    let directory = directory.path();
    let append = format!("apic={mode} run=\"{script}; {}\"", LAST.0);
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
        .stderr(std::fs::File::create(directory.join("messages"))?);
    let mut running = Running(bochs.spawn()?);
    wait_for_last(&mut running, directory)
}

fn configuration() -> String {
    let lines = [
        "config_interface: textconfig",
        "display_library: rfb, options=\"timeout=0\"",
        // The ALSA driver exits Bochs on a host without a sound card.
        "sound: waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy",
        "megs: 128",
        &format!("romimage: file={BIOS}"),
        &format!("vgaromimage: file={VGA_BIOS}"),
        "cpu: model=corei7_haswell_4770, count=2, ips=40000000, reset_on_triple_fault=0",
        "ata0-master: type=cdrom, path=tocsin.iso, status=inserted",
        "boot: cdrom",
        "log: bochs.log",
        "com1: enabled=1, mode=file, dev=serial.txt",
        "clock: sync=none",
    ];
    lines.map(|line| format!("{line}\n")).concat()
}

/// The kernel's output up to the beginning of the last command's output.
fn wait_for_last(running: &mut Running, directory: &Path) -> Result<String> {
    let read = |name: &str| {
        // The file does not exist before the first byte.
        let bytes = std::fs::read(directory.join(name)).unwrap_or_default();
        tocsin_tools::text(&bytes)
    };
    let begin = Instant::now();
    loop {
        let printed = read("serial.txt");
        if printed.contains(LAST.1) {
            return Ok(printed);
        }
        if let Some(status) = running.0.try_wait()? {
            let messages = read("messages");
            return Err(format!("Bochs ended, {status}\n{messages}\n--- COM1\n{printed}").into());
        }
        let last = LAST.1;
        ensure!(begin.elapsed() < TIMEOUT, "no {last:?} on COM1:\n{printed}");
        // There is no notification when a file grows.
        std::thread::sleep(Duration::from_millis(50));
    }
}
