//! Runs that the kernel does not end: signals to the runner and to QEMU, and closed or full
//! outputs.

use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use tocsin_tools::PROMPT;

use super::{FAILED, command, text, until};
use crate::{Result, TIMEOUT, ensure, ensure_eq, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("command::a_signal_leaves_nothing_behind", signal),
        trial("command::a_kill_leaves_nothing_behind", killed),
        trial(
            "command::an_end_of_qemu_by_a_signal_is_a_failure",
            qemu_ended,
        ),
        trial("command::lost_output_ends_the_run", lost_output),
    ]
}

/// Sends a signal; a negative number is a process group.
fn kill(signal: &str, process: i64) -> Result {
    // The shell's built-in `kill`, because a small system may lack the program.
    let kill = format!("kill -s {signal} -- {process}");
    let status = Command::new("sh").args(["-c", &kill]).status()?;
    ensure!(status.success(), "{kill}: {status}");
    Ok(())
}

/// A run at its prompt, in its own process group.
struct Run {
    child: Child,
    _input: ChildStdin,
    _output: BufReader<ChildStdout>,
}

impl Run {
    fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.process_group(0).spawn()?;
        let input = child.stdin.take().ok_or("no standard input")?;
        let mut output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        until(&mut output, PROMPT, &mut Vec::new())?;
        Ok(Self {
            child,
            _input: input,
            _output: output,
        })
    }
}

fn entries(directory: &Path) -> Result<usize> {
    Ok(fs::read_dir(directory)?.count())
}

fn signal() -> Result {
    let temporary = tempfile::tempdir()?;
    let mut command = command("")?;
    let mut run = Run::start(
        command
            .stderr(Stdio::null())
            .env("TMPDIR", temporary.path()),
    )?;
    ensure_eq!(entries(temporary.path())?, 1, "temporary files of a run");
    kill("TERM", run.child.id().into())?;
    // 128 plus the number of SIGTERM, as in shells.
    ensure_eq!(run.child.wait()?.code(), Some(128 + 15), "exit status");
    ensure_eq!(entries(temporary.path())?, 0, "temporary files after it");
    Ok(())
}

/// The runner cannot clean up after SIGKILL, and does not catch SIGABRT. (Nor SIGQUIT, but
/// background jobs of a script and their children ignore it.)
fn killed() -> Result {
    for (signal, is_group) in [("KILL", false), ("KILL", true), ("ABRT", false)] {
        let dir = tempfile::tempdir()?;
        let temporary = dir.path().join("temporary");
        fs::create_dir(&temporary)?;
        // A connection to QEMU, which is closed when QEMU exits.
        let monitor = dir.path().join("monitor");
        let arguments = format!(
            "-chardev socket,id=witness,path={},server=on,wait=off -mon witness",
            monitor.display()
        );
        let mut command = command("")?;
        command
            .env("TMPDIR", &temporary)
            .env("QEMU_ARGS", arguments);
        let mut run = Run::start(command.stderr(Stdio::null()))?;
        let mut witness = UnixStream::connect(&monitor)?;
        witness.set_read_timeout(Some(TIMEOUT))?;
        ensure_eq!(entries(&temporary)?, 1, "temporary files of a run");
        let process = i64::from(run.child.id());
        kill(signal, if is_group { -process } else { process })?;
        ensure_eq!(run.child.wait()?.code(), None, "exit status");
        // Fails at the time limit.
        witness.read_to_end(&mut Vec::new())?;
        let begin = Instant::now();
        while entries(&temporary)? > 0 {
            ensure!(begin.elapsed() < TIMEOUT, "SIG{signal}: files were left");
            // There is no notification when a directory becomes empty.
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(())
}

/// QEMU then exits with status 0, as if the guest had powered the machine off.
fn qemu_ended() -> Result {
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("pid");
    let mut command = command("")?;
    command.env("QEMU_ARGS", format!("-pidfile {}", file.display()));
    let mut run = Run::start(command.stderr(Stdio::piped()))?;
    kill("TERM", fs::read_to_string(&file)?.trim().parse()?)?;
    let mut errors = Vec::new();
    let mut from = run.child.stderr.take().ok_or("no standard error")?;
    from.read_to_end(&mut errors)?;
    ensure_eq!(run.child.wait()?.code(), Some(FAILED), "exit status");
    let printed = text(&errors);
    let expected = "tocsin: QEMU was ended by a signal of the host";
    ensure!(printed.contains(expected), "{printed}");
    Ok(())
}

/// A panic of the runner would return the status of a kernel panic.
fn lost_output() -> Result {
    let full = || File::options().write(true).open("/dev/full");
    let mut to_full = command("run=\"poweroff 3\"")?;
    to_full.stdin(Stdio::null()).stdout(full()?);
    let output = to_full.output()?;
    let printed = text(&output.stderr);
    ensure_eq!(output.status.code(), Some(FAILED), "full: {printed}");
    let expected = "tocsin: standard output: No space left on device";
    ensure!(printed.starts_with(expected), "{printed}");

    let temporary = tempfile::tempdir()?;
    let mut to_nobody = command("")?;
    to_nobody.env("TMPDIR", temporary.path());
    to_nobody.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = to_nobody.stderr(Stdio::piped()).spawn()?;
    let _input = child.stdin.take();
    // Like `head -1`.
    let mut output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
    until(&mut output, "\n", &mut Vec::new())?;
    drop(output);
    let ended = child.wait_with_output()?;
    let printed = text(&ended.stderr);
    ensure_eq!(ended.status.code(), Some(FAILED), "closed: {printed}");
    ensure!(
        printed.contains("tocsin: standard output: Broken pipe"),
        "{printed}"
    );
    ensure_eq!(entries(temporary.path())?, 0, "temporary files after it");

    // The message is lost, but the status is correct.
    let mut full_stderr = command("")?;
    full_stderr
        .env("SMP", "0")
        .stdin(Stdio::null())
        .stderr(full()?);
    ensure_eq!(
        full_stderr.status()?.code(),
        Some(FAILED),
        "full standard error"
    );
    Ok(())
}
