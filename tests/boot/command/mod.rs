//! `tocsin-tools run`, as started by `make run`: its variables, its input with and without a
//! terminal, and its exit status.

mod ends;
mod mistakes;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use libtest_mimic::Trial;
use tocsin_tests::build::program;
use tocsin_tests::guest::Guest;
use tocsin_tools::PROMPT;

use crate::{Result, ensure, ensure_eq, gate_record, trial};

/// Exit status of a run that the kernel did not end.
const FAILED: i32 = 125;

/// Ctrl-A X.
const LEAVE: &[u8] = b"\x01x";

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("command::lines_are_typed_and_the_status_comes_back", lines),
        trial("command::end_of_input_powers_off", end_of_input),
        trial("command::run_needs_no_input", run_needs_no_input),
        trial("command::a_fault_is_in_the_status", fault),
        trial("command::input_may_come_late", late),
        trial("command::a_terminal_is_left_with_ctrl_a_x", terminal),
        trial("command::a_triple_fault_ends_the_run", triple_fault),
    ];
    trials.extend(ends::trials());
    trials.extend(mistakes::trials());
    trials
}

/// The program, built once.
static PROGRAM: LazyLock<std::result::Result<PathBuf, String>> =
    LazyLock::new(|| program("tocsin-tools"));

/// The variables of the command; the environment of the tests is not inherited.
fn variables() -> Vec<(&'static str, &'static str)> {
    vec![
        ("SMP", "4"),
        ("MEM", "128M"),
        ("MACHINE", "q35"),
        ("CPU", "max"),
        ("ACCEL", "tcg"),
        ("BOOT", "direct"),
        ("APPEND", ""),
        ("QEMU_ARGS", ""),
    ]
}

/// The command with this kernel.
pub fn command(append: &str) -> Result<Command> {
    let mut command = Command::new(PROGRAM.clone()?);
    command.arg("run").envs(variables()).env("APPEND", append);
    Ok(command)
}

/// Runs the command with this text as its standard input.
fn run(append: &str, input: &[u8]) -> Result<Output> {
    let mut command = command(append)?;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // The whole input is available before the kernel starts.
    child
        .stdin
        .take()
        .ok_or("no standard input")?
        .write_all(input)?;
    Ok(child.wait_with_output()?)
}

fn text(bytes: &[u8]) -> String {
    tocsin_tools::text(bytes)
}

fn lines() -> Result {
    // The last line has no line end.
    let output = run("", b"idt 3 json\r\nmemory json\n\nidt 14 json; poweroff 5")?;
    ensure_eq!(output.status.code(), Some(5), "exit status");
    let printed = text(&output.stdout);
    let first = printed.lines().next().unwrap_or_default();
    ensure_eq!(
        first,
        "tocsin: direct boot, q35, 4 CPUs, 128 MiB, TCG",
        "first line"
    );
    let offsets = [
        gate_record(3),
        "@json {\"kind\":\"memory\",".to_owned(),
        gate_record(14),
    ];
    let offsets: Vec<_> = offsets.map(|part| printed.find(&part)).into();
    ensure!(
        offsets.iter().all(Option::is_some),
        "an answer is missing in\n{printed}"
    );
    ensure!(
        offsets.is_sorted(),
        "the answers are out of order in\n{printed}"
    );
    ensure_eq!(text(&output.stderr), "", "standard error");
    Ok(())
}

fn end_of_input() -> Result {
    let output = run("", b"")?;
    ensure_eq!(output.status.code(), Some(0), "exit status without a line");
    let output = run("", b"nope\n")?;
    ensure_eq!(output.status.code(), Some(1), "exit status after a mistake");
    let printed = text(&output.stdout);
    ensure!(
        printed.contains("unknown command `nope`"),
        "the mistake is not named in\n{printed}"
    );
    Ok(())
}

fn run_needs_no_input() -> Result {
    let output = run("run=\"idt 3 json; poweroff 4\"", b"")?;
    ensure_eq!(output.status.code(), Some(4), "exit status");
    ensure!(text(&output.stdout).contains(&gate_record(3)), "no answer");
    Ok(())
}

fn fault() -> Result {
    let output = run("run=\"fault ud\"", b"")?;
    ensure_eq!(
        output.status.code(),
        Some(i32::from(tocsin_logic::exit::STOPPED)),
        "exit status"
    );
    ensure!(
        text(&output.stdout).contains("#UD invalid opcode"),
        "no report"
    );
    Ok(())
}

/// Input through a pipe that is typed only after the prompt has appeared.
fn late() -> Result {
    let mut command = command("")?;
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn()?;
    let mut input = child.stdin.take().ok_or("no standard input")?;
    let mut output = BufReader::new(child.stdout.take().ok_or("no standard output")?);
    let mut printed = Vec::new();
    for (line, reply) in [
        ("idt 3 json", gate_record(3)),
        ("poweroff 6", String::new()),
    ] {
        until(&mut output, PROMPT, &mut printed)?;
        writeln!(input, "{line}")?;
        until(&mut output, &reply, &mut printed)?;
    }
    output.read_to_end(&mut printed)?;
    ensure_eq!(child.wait()?.code(), Some(6), "exit status");
    Ok(())
}

/// Reads until the output ends with `pattern`; the end of the output is an error.
fn until(output: &mut impl std::io::BufRead, pattern: &str, printed: &mut Vec<u8>) -> Result {
    let Some(&last) = pattern.as_bytes().last() else {
        return Ok(());
    };
    loop {
        if output.read_until(last, printed)? == 0 {
            return Err(format!("the output ended before {pattern:?}:\n{}", text(printed)).into());
        }
        if printed.ends_with(pattern.as_bytes()) {
            return Ok(());
        }
    }
}

fn terminal() -> Result {
    let (mut terminal, other_side) = pty_process::blocking::open()?;
    let mut command = pty_process::blocking::Command::new(PROGRAM.clone()?);
    command = command.arg("run").envs(variables());
    let mut child = command.spawn(other_side)?;
    let mut printed = Vec::new();
    let mut output = BufReader::new(&terminal);
    until(&mut output, "; leave with Ctrl-A X\r\n", &mut printed)?;
    until(&mut output, PROMPT, &mut printed)?;
    drop(output);
    terminal.write_all(b"idt 3 json\r")?;
    let mut output = BufReader::new(&terminal);
    until(&mut output, &gate_record(3), &mut printed)?;
    until(&mut output, PROMPT, &mut printed)?;
    drop(output);
    terminal.write_all(LEAVE)?;
    let mut output = BufReader::new(&terminal);
    // The last read fails with EIO, which is how a terminal ends.
    while output
        .read_until(b'\n', &mut printed)
        .is_ok_and(|read| read > 0)
    {}
    ensure_eq!(
        child.wait()?.code(),
        Some(0),
        "exit status after\n{}",
        text(&printed)
    );
    Ok(())
}

/// An interactive machine reboots on a reset, but stops on repeated triple faults.
fn triple_fault() -> Result {
    let mut image = tempfile::NamedTempFile::new()?;
    image.write_all(&Guest::new().say("up\n").triple_fault().halt())?;
    let mut command = command("")?;
    let instead = image.path().display();
    command.env(
        "QEMU_ARGS",
        format!("-kernel '{instead}' -initrd '{instead}'"),
    );
    let output = command.stdin(Stdio::null()).output()?;
    let printed = text(&output.stderr);
    ensure!(
        printed.starts_with("tocsin: triple fault: "),
        "the message is\n{printed}"
    );
    ensure_eq!(output.status.code(), Some(FAILED), "exit status");
    // The machine may have started to print it again when it was stopped.
    ensure!(
        text(&output.stdout).contains("\nup\n"),
        "the output is missing"
    );
    Ok(())
}
