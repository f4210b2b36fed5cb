//! The console while commands run and while interrupts do not arrive: Ctrl-C, and a machine whose
//! IOMMU blocks the interrupts of devices.

use libtest_mimic::Trial;
use tocsin_tools::{Machine, Session};

use crate::{
    PATIENCE, Result, ensure, ensure_eq, machine, plain, power_off, power_off_failed, trial, with,
};

/// Commands that run far longer than the test, and the output of each before it is cancelled.
const LONG: [(&str, &str); 5] = [
    ("storm 600", "storm: 599 s to go"),
    ("bench", "[1/"),
    ("timers wait 600000", ""),
    ("sources rtc 10000", "RTC 8192 Hz"),
    ("timers wait 600000; idt 3", ""),
];

/// Commands whose counts show that they stopped early: the output of each before it is cancelled,
/// and output that only a complete run prints.
const COUNTED: [(&str, &str, &str); 4] = [
    ("pci edu 1000000", "MSI: vector", "1000000 sent"),
    ("pci virtio 1000000", "MSI-X: vector", "1000000 requests"),
    ("pci port 1000000", "messages, vector", "1000000 commands"),
    ("pci shared 1000000", "of CPU 0", "1000000 sent"),
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
    trials.extend(COUNTED.iter().map(|&(command, begins, whole)| {
        trial(
            format!("console::cancel::{}", command.replace(' ', "_")),
            move || {
                with(&counting()?, |session| {
                    cancel_early(command, begins, whole, session)
                })
            },
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
fn cancel_early(command: &str, begins: &str, whole: &str, session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    session.send_line(command)?;
    session.expect("\n", PATIENCE)?;
    session.expect(begins, PATIENCE)?;
    session.send_line("\u{3}")?;
    let name = command.split(' ').next().unwrap_or_default();
    let mut said = session.expect(&format!("{name}: cancelled by Ctrl-C"), PATIENCE)?;
    said.push_str(&session.wait_prompt(PATIENCE)?);
    ensure!(!said.contains(whole), "all of it was done:\n{said}");
    power_off_failed(session)
}

/// Ctrl-C stops the command and the rest of its line, and none of its state remains.
fn cancel(command: &str, begins: &str, session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    let lines = session.command("lines", PATIENCE)?;
    session.send_line(command)?;
    session.expect("\n", PATIENCE)?;
    session.expect(begins, PATIENCE)?;
    // After the prompt with an empty line.
    session.send_line("\u{3}")?;
    let name = command.split(' ').next().unwrap_or_default();
    session.expect(&format!("{name}: cancelled by Ctrl-C"), PATIENCE)?;
    let rest = session.wait_prompt(PATIENCE)?;
    ensure!(!rest.contains("vector 3"), "the line goes on: {rest}");
    session.wait_prompt(PATIENCE)?;
    // The same lines as before; the counts may differ.
    let owners = |lines: &str| -> Vec<String> {
        let names = lines
            .lines()
            .skip(1)
            .filter_map(|row| row.split_whitespace().next());
        names.map(str::to_owned).collect()
    };
    let after = session.command("lines", PATIENCE)?;
    ensure_eq!(owners(&after), owners(&lines), "lines after the command");
    let timers = session.command("timers", PATIENCE)?;
    let left = timers
        .lines()
        .skip(1)
        .find(|row| !row.contains("machine checks"));
    ensure_eq!(left, None, "timers after the command");
    // All CPUs and their interrupts work.
    let answer = session.command("storm 1", PATIENCE)?;
    ensure!(answer.contains("nothing lost, nothing doubled"), "{answer}");
    session.send_line("poweroff 0")?;
    session.expect_exit(tocsin_tools::Outcome::Kernel(0), PATIENCE)?;
    Ok(())
}

fn by_keyboard(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    session.send_line("timers wait 600000")?;
    session.expect("600000\r\n", PATIENCE)?;
    session.hmp("sendkey ctrl-c")?;
    session.expect("timers: cancelled by Ctrl-C", PATIENCE)?;
    session.wait_prompt(PATIENCE)?;
    Ok(())
}

/// The rest of the script is not executed.
fn in_script(session: &mut Session) -> Result {
    session.expect("tocsin> timers wait 600000\r\n", PATIENCE)?;
    session.send_line("\u{3}")?;
    session.expect("timers: cancelled by Ctrl-C", PATIENCE)?;
    session.wait_prompt(PATIENCE)?;
    Ok(())
}

/// At the prompt, Ctrl-C discards the line.
fn a_line(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    session.send_line("reboot\u{3}idt 3")?;
    session.expect("^C", PATIENCE)?;
    session.wait_prompt(PATIENCE)?;
    let answer = session.wait_prompt(PATIENCE)?;
    ensure!(answer.contains("vector 3 (0x03)"), "found {answer:?}");
    power_off(session)
}

/// The kernel reports that interrupts do not arrive, with the reason, and remains usable.
fn dropped(session: &mut Session) -> Result {
    let log = session.wait_prompt(PATIENCE)?;
    for part in [
        "warning: console: COM1: its interrupt, ",
        "does not arrive; ACPI lists an IOMMU (IVRS)",
        "(input is polled)",
    ] {
        ensure!(log.contains(part), "no {part:?} in:\n{log}");
    }
    let answer = session.command("idt 3", PATIENCE)?;
    ensure!(answer.contains("vector 3 (0x03)"), "found {answer:?}");
    for key in ["i", "d", "t", "spc", "5", "ret"] {
        session.hmp(&format!("sendkey {key}"))?;
    }
    let answer = session.wait_prompt(PATIENCE)?;
    ensure!(answer.contains("vector 5 (0x05)"), "found {answer:?}");
    // Interrupts that do not pass through the IOMMU arrive.
    session.command("ipi", PATIENCE)?;
    power_off(session)
}
