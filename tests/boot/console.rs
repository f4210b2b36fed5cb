//! The console while commands run and while interrupts do not arrive: Ctrl-C, and a machine whose
//! IOMMU blocks the interrupts of devices.

use libtest_mimic::Trial;
use serde::Deserialize;
use tocsin_tests::interrupt_records::Storm;
use tocsin_tests::output::LineRecord;
use tocsin_tests::records;
use tocsin_tools::{Machine, Session};

use crate::timers::timers;
use crate::{
    Result, TIMEOUT, ensure, ensure_eq, gate_record, machine, plain, power_off, power_off_failed,
    trial, with,
};

/// Commands that run far longer than the test, and the output of each before it is cancelled.
const LONG: [(&str, &str); 5] = [
    ("storm 600", "storm: 599 s left"),
    ("bench", "[1/"),
    ("timers wait 600000", ""),
    ("sources rtc 10000 json", "\"kind\":\"source_run\""),
    ("timers wait 600000; idt 3 json", ""),
];

/// Commands whose counts show that they stopped early, and the kind of record of their runs.
const COUNTED: [(&str, &str); 4] = [
    ("pci edu 1000000 json", "edu_run"),
    ("pci virtio 1000000 json", "message_run"),
    ("pci port 1000000 json", "message_run"),
    ("pci shared 1000000 json", "edu_run"),
];

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = LONG
        .iter()
        .map(|&(command, begins)| {
            trial(
                format!("console::cancel::{}", command.replace(' ', "_")),
                move || with(&machine(2)?, |session| cancel(command, begins, session)),
            )
        })
        .collect();
    trials.extend(COUNTED.iter().map(|&(command, kind)| {
        trial(
            format!("console::cancel::{}", command.replace(' ', "_")),
            move || with(&counting()?, |session| cancel_early(command, kind, session)),
        )
    }));
    trials.extend([
        trial("console::cancel::by_the_keyboard", || {
            with(&plain(), by_keyboard)
        }),
        trial("console::cancel::in_a_script", || {
            let script = "run=\"timers wait 600000; poweroff 3\"";
            with(&plain().append(script), in_script)
        }),
        trial("console::cancel::a_line", || with(&plain(), a_line)),
        trial("console::interrupts_are_dropped", || {
            with(&machine(2)?.args(["-device", "amd-iommu"]), dropped)
        }),
    ]);
    trials
}

/// A machine with the devices of [`COUNTED`]; two of them share an input.
fn counting() -> Result<Machine> {
    let devices = [
        "edu,addr=4",
        "edu,addr=8",
        "virtio-rng-pci,disable-legacy=on",
        "ioh3420,id=rootport,chassis=1,slot=1",
    ];
    let args = devices.into_iter().flat_map(|device| ["-device", device]);
    Ok(machine(2)?.args(args.chain(["-serial", "null"])))
}

/// Ctrl-C stops the command before it has completed.
fn cancel_early(command: &str, kind: &str, session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.send_line(command)?;
    session.expect("\n", TIMEOUT)?;
    session.expect("\"kind\":\"pci_binding\"", TIMEOUT)?;
    session.send_line("\u{3}")?;
    let name = command.split(' ').next().unwrap_or_default();
    let mut output = session.expect(&format!("{name}: cancelled by Ctrl-C"), TIMEOUT)?;
    output.push_str(&session.wait_prompt(TIMEOUT)?);
    let runs: Vec<Run> = records::all(&output, kind)?;
    ensure!(
        runs.iter().all(|run| run.sent < 1_000_000),
        "all of it was done:\n{output}"
    );
    power_off_failed(session)
}

/// A record of one of [`COUNTED`]'s kinds.
#[derive(Deserialize)]
struct Run {
    sent: u64,
}

/// The names of all lines.
fn lines(session: &mut Session) -> Result<Vec<String>> {
    let reply = session.command("lines json", TIMEOUT)?;
    let lines: Vec<LineRecord> = records::all(&reply, "line")?;
    Ok(lines.into_iter().map(|line| line.name).collect())
}

/// Ctrl-C stops the command and the rest of its line, and none of its state remains.
fn cancel(command: &str, begins: &str, session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let before = lines(session)?;
    session.send_line(command)?;
    session.expect("\n", TIMEOUT)?;
    session.expect(begins, TIMEOUT)?;
    // After the prompt with an empty line.
    session.send_line("\u{3}")?;
    let name = command.split(' ').next().unwrap_or_default();
    session.expect(&format!("{name}: cancelled by Ctrl-C"), TIMEOUT)?;
    let rest = session.wait_prompt(TIMEOUT)?;
    ensure!(
        !rest.contains(&gate_record(3)),
        "the line continues: {rest}"
    );
    session.wait_prompt(TIMEOUT)?;
    ensure_eq!(lines(session)?, before, "lines after the command");
    let mut left = timers(session)?;
    left.retain(|timer| timer.name != "machine checks");
    ensure!(left.is_empty(), "timers after the command: {left:?}");
    // All CPUs and their interrupts work.
    let reply = session.command("storm 1 json", TIMEOUT)?;
    let storm: Storm = records::one(&reply, "storm")?;
    ensure!(storm.passed, "the storm has not passed:\n{reply}");
    session.send_line("poweroff 0")?;
    session.expect_exit(tocsin_tools::Outcome::Kernel(0), TIMEOUT)?;
    Ok(())
}

fn by_keyboard(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.send_line("timers wait 600000")?;
    session.expect("600000\r\n", TIMEOUT)?;
    session.hmp("sendkey ctrl-c")?;
    session.expect("timers: cancelled by Ctrl-C", TIMEOUT)?;
    session.wait_prompt(TIMEOUT)?;
    Ok(())
}

/// The rest of the script is not executed.
fn in_script(session: &mut Session) -> Result {
    session.expect("tocsin> timers wait 600000\r\n", TIMEOUT)?;
    session.send_line("\u{3}")?;
    session.expect("timers: cancelled by Ctrl-C", TIMEOUT)?;
    session.wait_prompt(TIMEOUT)?;
    Ok(())
}

/// At the prompt, Ctrl-C discards the line.
fn a_line(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.send_line("reboot\u{3}idt 3 json")?;
    session.expect("^C", TIMEOUT)?;
    session.wait_prompt(TIMEOUT)?;
    let reply = session.wait_prompt(TIMEOUT)?;
    ensure!(reply.contains(&gate_record(3)), "found {reply:?}");
    power_off(session)
}

/// The kernel reports that interrupts do not arrive, with the reason, and remains usable.
fn dropped(session: &mut Session) -> Result {
    let log = session.wait_prompt(TIMEOUT)?;
    for part in [
        "warning: console: COM1: its interrupt, ",
        "does not arrive; ACPI lists an IOMMU (IVRS)",
        "(input is polled)",
    ] {
        ensure!(log.contains(part), "no {part:?} in:\n{log}");
    }
    let reply = session.command("idt 3 json", TIMEOUT)?;
    ensure!(reply.contains(&gate_record(3)), "found {reply:?}");
    let keys = ["i", "d", "t", "spc", "5", "spc", "j", "s", "o", "n", "ret"];
    for key in keys {
        session.hmp(&format!("sendkey {key}"))?;
    }
    let reply = session.wait_prompt(TIMEOUT)?;
    ensure!(reply.contains(&gate_record(5)), "found {reply:?}");
    // Interrupts that do not pass through the IOMMU arrive.
    session.command("ipi", TIMEOUT)?;
    power_off(session)
}
