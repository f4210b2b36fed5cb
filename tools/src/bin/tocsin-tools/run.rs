//! `tocsin-tools run`: one machine, for interactive use or a script.
//!
//! On a terminal, COM1 and QEMU's monitor share it and Ctrl-A X exits. Without one, lines of the
//! input are typed at the kernel's prompt (see `feed`). In both cases the exit status is the
//! kernel's.

use std::fmt::Display;
use std::io::{IsTerminal as _, stdin, stdout};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tocsin_tools::output::{Checked, FAILED};
use tocsin_tools::settings::{BadSetting, BootWay, GdbEndpoint, MachineArgs, Setting, Smp};
use tocsin_tools::{Firmware, Limine, NoLimine, Outcome, Session, SessionError, workspace};

use crate::feed;

/// Directory of the kernels with debug information, each in a subdirectory named after its profile.
const BUILT: &str = "target/kernel/x86_64-unknown-none";

/// The script for gdb.
const GDB_SCRIPT: &str = "tools/tocsin.gdb";

/// The variables that `make run` takes.
#[derive(clap::Args)]
pub struct Args {
    /// Number of CPUs, or QEMU's -smp value
    #[arg(long, env = "SMP", default_value = "4")]
    smp: String,
    #[command(flatten)]
    machine: MachineArgs,
    /// auto, limine, limine-uefi or direct
    #[arg(long, env = "BOOT", default_value = "auto")]
    boot: String,
    /// A kernel of kernel/examples, instead of Tocsin's own
    #[arg(long, env = "EXAMPLE", default_value = "")]
    example: String,
    /// Wait for gdb before the first instruction
    #[arg(long)]
    debug: bool,
    /// Where: a TCP port, or a socket's path
    #[arg(long, env = "GDB", default_value = "1234")]
    gdb: String,
}

/// An error before or outside of the kernel.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error(transparent)]
    Setting(#[from] BadSetting),
    #[error("BOOT={}: {why}; BOOT=direct needs no Limine", way.name())]
    NoLimine { way: BootWay, why: NoLimine },
    #[error("{0}")]
    Misdirected(NoLimine),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("{why}\n--- command line\n{command}")]
    NotStarted { why: String, command: String },
}

/// Runs the machine that `args` describe.
pub fn run(args: &Args) -> ExitCode {
    match boot(args) {
        Ok(outcome) => tell(outcome),
        Err(e) => fail(&e),
    }
}

fn fail(why: &dyn Display) -> ExitCode {
    tocsin_tools::errln!("tocsin: {why}");
    ExitCode::from(FAILED)
}

/// The exit status for an outcome, with a message if the kernel provided no status.
fn tell(outcome: Outcome) -> ExitCode {
    match outcome {
        Outcome::Kernel(status) => ExitCode::from(status),
        // The user quit QEMU, or the guest powered the machine off.
        Outcome::Off => ExitCode::SUCCESS,
        Outcome::TripleFault => fail(
            &"triple fault: a CPU faulted while delivering a double fault, and the machine would \
              start over; QEMU_ARGS='-d int -D FILE' logs what led to it",
        ),
        Outcome::Reset | Outcome::Terminated | Outcome::Signal(_) | Outcome::Qemu(_) => {
            fail(&outcome)
        }
    }
}

fn boot(args: &Args) -> Result<Outcome, RunError> {
    let smp = Smp::parse(&args.smp)?;
    // Invalid values are reported before the search for Limine.
    args.machine.machine(BootWay::Direct)?;
    let gdb = args
        .debug
        .then(|| GdbEndpoint::parse(&args.gdb))
        .transpose()?;
    let (way, loader) = choose(BootWay::parse(&args.boot)?)?;

    let mut machine = args.machine.machine(way)?.smp(smp).reboots();
    let mut built = PathBuf::from("tocsin");
    if !args.example.is_empty() {
        machine = machine.image(workspace().join(format!("target/image/{}.elf", args.example)));
        built = Path::new("examples").join(&args.example);
    }
    let interactive = stdin().is_terminal();
    let leave = if interactive {
        "; leave with Ctrl-A X"
    } else {
        ""
    };
    tocsin_tools::outln!("tocsin: {loader}, {}{leave}", machine.describe());
    if let Some(endpoint) = &gdb {
        machine = machine.stopped_for_gdb(endpoint.clone());
    }
    let session = if interactive {
        Session::start_on_terminal(&machine)
    } else {
        Session::start_copied(&machine, Box::new(Checked(stdout())))
    };
    let mut session = session.map_err(|error| not_started(args, error))?;
    if let Some(endpoint) = gdb {
        tocsin_tools::outln!("tocsin: waiting for: {}", debugger(&endpoint, &built));
    }
    Ok(if interactive {
        session.run_to_end()
    } else {
        feed::run(&mut session)
    })
}

/// The error for a machine that QEMU does not start, with the variables that may have caused it.
fn not_started(args: &Args, error: SessionError) -> RunError {
    let SessionError::NotStarted { scene, .. } = error else {
        return error.into();
    };
    let mut settings = vec![Setting::new("SMP", &args.smp)];
    settings.extend(args.machine.settings());
    if args.debug {
        settings.push(Setting::new("GDB", &args.gdb));
    }
    let qemu = std::env::var("QEMU").unwrap_or_default();
    settings.push(Setting::new("QEMU", qemu));
    RunError::NotStarted {
        why: Setting::explain(&settings, &scene.stderr),
        command: scene.command,
    }
}

/// The command that attaches gdb to the machine with this kernel.
fn debugger(endpoint: &GdbEndpoint, built: &Path) -> String {
    let dev = std::env::var_os("PROFILE").is_some_and(|profile| profile == "dev");
    let built = Path::new(BUILT)
        .join(if dev { "debug" } else { "release" })
        .join(built);
    let target = format!("target remote {}", endpoint.for_gdb());
    shell_words::join([
        "gdb",
        "-ex",
        &target,
        "-x",
        GDB_SCRIPT,
        &built.to_string_lossy(),
    ])
}

/// The boot method and its display name. `None` selects Limine if it is available.
fn choose(asked: Option<BootWay>) -> Result<(BootWay, String), RunError> {
    let way = asked.unwrap_or(BootWay::Limine);
    if way == BootWay::Direct {
        return Ok((way, "direct boot".to_owned()));
    }
    let limine = match (Limine::find(), asked) {
        (Ok(limine), _) => limine,
        (Err(NoLimine::NotToBeHad(why)), None) => {
            return Ok((BootWay::Direct, format!("direct boot (no Limine: {why})")));
        }
        (Err(why @ NoLimine::NotToBeHad(_)), Some(way)) => {
            return Err(RunError::NoLimine { way, why });
        }
        (Err(why), _) => return Err(RunError::Misdirected(why)),
    };
    let firmware = match way {
        BootWay::LimineUefi => {
            Firmware::find().map_err(SessionError::from)?;
            "UEFI"
        }
        BootWay::Limine | BootWay::Direct => "BIOS",
    };
    Ok((way, format!("Limine {} ({firmware})", limine.version)))
}
