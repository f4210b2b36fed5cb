//! Ctrl-C and other signals, while a machine runs.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::Command;

use crate::emulator::{SuiteDir, next, pieces, start};

/// As a shell tells of a signal.
const INTERRUPTED: i32 = 128 + 2;
const TERMINATED: i32 = 128 + 15;

/// What the terminal makes a signal to the group in its foreground.
const CTRL_C: &[u8] = b"\x03";

/// A machine that prints its first metric and then nothing, and ignores SIGTERM.
const STUBBORN: &str = "greet; say 3; trap '' INT TERM HUP; hang";

/// Part of the line that shows that metric.
const METRIC: &str = "self_ipi.entry tocsin (x2apic, 4 CPUs)";

/// Sends a signal; a negative process is a group of them.
fn kill(signal: &str, process: i64) {
    // The shell's own `kill`: a small system has no such program.
    let kill = format!("kill -s {signal} -- {process}");
    let status = Command::new("sh").args(["-c", &kill]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_signal_ends_the_machine_and_leaves_the_results_before() {
    for (signal, group, machine, status) in [
        // It is ended by the command, which knows why, and not by the signal that is for it.
        (
            "INT",
            true,
            "greet; say 3; trap 'echo interrupted >>started' INT; hang",
            INTERRUPTED,
        ),
        ("TERM", false, "greet; say 3; hang", TERMINATED),
        ("TERM", false, STUBBORN, TERMINATED),
    ] {
        let dir = SuiteDir::new();
        let before = dir.measured();
        dir.machine("x2apic", machine);
        let mut running = start(&mut dir.suite(&[]));
        running.until(METRIC);
        let process = i64::from(running.child.id());
        kill(signal, if group { -process } else { process });
        let ended = running.end();
        ended.expect(status, &[]);
        assert!(!ended.errors.contains("FAILED"), "{}", ended.errors);
        assert_eq!(dir.started(), "x2apic xapic x2apic");
        assert_eq!(dir.results(), before);
        dir.expect_clean();
    }
}

#[test]
fn a_signal_ends_machines_that_run_side_by_side() {
    let dir = SuiteDir::new();
    for machine in ["x2apic", "xapic"] {
        dir.machine(machine, STUBBORN);
    }
    let mut running = start(dir.suite(&[]).env("MODE", "instructions"));
    running.until(METRIC);
    kill("INT", -i64::from(running.child.id()));
    running.end().expect(INTERRUPTED, &[]);
    dir.expect_clean();
}

/// The signal comes from one machine while the other one starts: whichever it meets, it ends.
#[test]
fn a_signal_ends_machines_that_are_starting() {
    for _ in 0..10 {
        let dir = SuiteDir::new();
        for machine in ["x2apic", "xapic"] {
            dir.machine(machine, "kill -s TERM $PPID; hang");
        }
        let ended = start(dir.suite(&[]).env("MODE", "instructions")).end();
        ended.expect(TERMINATED, &[]);
        dir.expect_clean();
    }
}

/// What a terminal shows in its last line, of what arrived since it was empty.
fn last_line(output: &str) -> String {
    let mut line: Vec<char> = Vec::new();
    let mut column = 0;
    for c in output.chars() {
        match c {
            '\n' => line.clear(),
            '\r' => column = 0,
            c => {
                line.resize(line.len().max(column + 1), ' ');
                line[column] = c;
                column += 1;
            }
        }
    }
    line.into_iter().collect::<String>().trim_end().to_owned()
}

#[test]
fn ctrl_c_on_a_terminal_clears_the_line() {
    let dir = SuiteDir::new();
    dir.machine("x2apic", "greet; say 3; say 2; hang");
    let (mut terminal, other_side) = pty_process::blocking::open().unwrap();
    let command = pty_process::blocking::Command::from(dir.suite(&[]));
    let mut child = command.spawn(other_side).unwrap();
    let reader = terminal.as_fd().try_clone_to_owned().unwrap();
    let pieces = pieces(File::from(reader), b'\r');
    let mut output = String::new();
    let step = "4 CPUs: self_ipi in cycles, 1 of 1: self_ipi";
    // The line is there again after the metric that was left above it.
    while !output
        .split_once(METRIC)
        .is_some_and(|(_, after)| after.contains(step))
    {
        output += &next(&pieces).expect("it runs until a signal ends it");
    }
    assert!(last_line(&output).ends_with(step), "{output}");
    terminal.write_all(CTRL_C).unwrap();
    while let Some(piece) = next(&pieces) {
        output += &piece;
    }
    assert_eq!(child.wait().unwrap().code(), Some(INTERRUPTED), "{output}");
    assert_eq!(last_line(&output), "", "{output:?}");
    dir.expect_clean();
}
