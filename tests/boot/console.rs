//! The console while commands run and while interrupts do not arrive: Ctrl-C, and a machine whose IOMMU
//! drops the interrupts of devices.

use libtest_mimic::Trial;
use tocsin_tools::Session;

use crate::{PATIENCE, Result, ensure, ensure_eq, machine, plain, power_off, trial, with};

/// Commands that run far longer than a test waits, and what each prints before it is cancelled.
const LONG: [(&str, &str); 5] = [
    ("storm 600", "storm: 599 s to go"),
    ("bench", "[1/"),
    ("timers wait 600000", ""),
    ("sources rtc 10000", "RTC 8192 Hz"),
    ("timers wait 600000; idt 3", ""),
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

/// Ctrl-C ends the command and the rest of its line, and nothing of it is left.
fn cancel(command: &str, begins: &str, session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    let lines = session.command("lines", PATIENCE)?;
    session.send_line(command)?;
    session.expect("\n", PATIENCE)?;
    session.expect(begins, PATIENCE)?;
    // With an empty line.
    session.send_line("\u{3}")?;
    let name = command.split(' ').next().unwrap_or_default();
    session.expect(&format!("{name}: cancelled by Ctrl-C"), PATIENCE)?;
    let rest = session.wait_prompt(PATIENCE)?;
    ensure!(!rest.contains("vector 3"), "the line goes on: {rest}");
    session.wait_prompt(PATIENCE)?;
    // Only what has always been there; the counts may differ.
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

/// The rest of the script is left out.
fn in_script(session: &mut Session) -> Result {
    session.expect("tocsin> timers wait 600000\r\n", PATIENCE)?;
    session.send_line("\u{3}")?;
    session.expect("timers: cancelled by Ctrl-C", PATIENCE)?;
    session.wait_prompt(PATIENCE)?;
    Ok(())
}

/// At the prompt, Ctrl-C leaves the line.
fn a_line(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    session.send_line("reboot\u{3}idt 3")?;
    session.expect("^C", PATIENCE)?;
    session.wait_prompt(PATIENCE)?;
    let answer = session.wait_prompt(PATIENCE)?;
    ensure!(answer.contains("vector 3 (0x03)"), "found {answer:?}");
    power_off(session)
}

/// The kernel says that interrupts do not arrive, and why, and can be used all the same.
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
    // Those that no IOMMU sees arrive.
    session.command("ipi", PATIENCE)?;
    power_off(session)
}
