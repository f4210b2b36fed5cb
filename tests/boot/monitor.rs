//! The prompt, its commands and the kernel command line, from the user's view.

use libtest_mimic::Trial;
use tocsin_tools::{Machine, Outcome, PROMPT, Session};

use crate::{
    Result, TIMEOUT, ensure, ensure_eq, gate_record, plain, power_off, power_off_failed,
    power_off_with, trial, with,
};

/// Invalid lines, and the kernel's expected message for each.
const MISTAKES: &[(&str, &str)] = &[
    (
        "nope",
        "nope: unknown command `nope` (`help` lists the commands)",
    ),
    (
        "help nope",
        "help: unknown command `nope` (`help` lists the commands)",
    ),
    ("help help help", "help: extra argument `help`"),
    ("memory all", "memory: extra argument `all`"),
    (
        "idt 256",
        "idt: invalid argument `256` (expected a number from 0 to 255",
    ),
    ("idt 1 2", "idt: extra argument `2`"),
    (
        "idt -1",
        "idt: invalid argument `-1` (expected a number from 0 to 255",
    ),
    (
        "idt -x1 \"a b\"",
        "idt: invalid argument `-x1` (expected a number from 0 to 255",
    ),
    (
        "idt --all",
        "idt: invalid argument `--all` (expected a number from 0 to 255",
    ),
    ("fault", "fault: missing argument (usage: fault <kind>"),
    (
        "fault nope",
        "fault: invalid argument `nope` (expected a kind that `fault list` shows",
    ),
    (
        "fault ud now",
        "fault: invalid argument `now` (expected a number from 0",
    ),
    (
        "fault 256",
        "fault: invalid argument `256` (expected a kind that `fault list` shows",
    ),
    (
        "poweroff 101",
        "poweroff: invalid argument `101` (expected a number from 0 to 100",
    ),
    (
        "poweroff -1",
        "poweroff: invalid argument `-1` (expected a number from 0 to 100",
    ),
    ("poweroff 1 2", "poweroff: extra argument `2`"),
    ("reboot now", "reboot: extra argument `now`"),
    ("storm 1 2 3", "storm: extra argument `3`"),
    (
        "lapic 99",
        "lapic: CPU 99 is not online; `cpus` lists those that are",
    ),
    (
        "backtrace 99",
        "backtrace: CPU 99 is not online; `cpus` lists those that are",
    ),
    (
        "lines test 99",
        "lines: CPU 99 is not online; `cpus` lists those that are",
    ),
    (
        "nmi edge 99",
        "nmi: CPU 99 is not online; `cpus` lists those that are",
    ),
    (
        "prio hold on",
        "prio: invalid argument `on` (expected `lock`, `interrupts`, `priority` or `ceiling`",
    ),
    (
        "sources pit 0",
        "sources: invalid argument `0` (expected a number from 1 to 10000",
    ),
    (
        "spurious ipi 31",
        "spurious: invalid argument `31` (expected a vector from 32 to 255; those below are exceptions'",
    ),
    (
        "watchdog",
        "watchdog: missing argument (usage: watchdog on|off|show",
    ),
];

/// Invalid kernel command lines, and the expected message in the boot log for each.
const BAD_OPTIONS: &[(&str, &str)] = &[
    (
        "nope",
        "unknown option `nope` at column 1; known: run, apic, iommu, maxcpus, failcpu",
    ),
    (
        "apic=xapic foo=1",
        "unknown option `foo` at column 12; known: run, apic, iommu, maxcpus, failcpu",
    ),
    (
        "apic=yes",
        "`apic=yes` at column 1: auto, xapic or x2apic is needed",
    ),
    (
        "maxcpus=0",
        "`maxcpus=0` at column 1: a number from 1 up is needed",
    ),
    (
        "run=\"idt 3",
        "unclosed quote at column 5: taken to the end of the line",
    ),
    (
        "run=idt run=help",
        "`run=help` at column 9: run was given before; this one counts",
    ),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("monitor::help", || with(&plain(), help)),
        trial("monitor::mistakes_are_named", || with(&plain(), mistakes)),
        trial("monitor::editing", || with(&plain(), editing)),
        trial("monitor::commands_joined", || with(&plain(), joined)),
        trial("monitor::poweroff_after_a_mistake", || {
            with(&plain(), poweroff_after_a_mistake)
        }),
        trial("monitor::reboot", || with(&plain().reboots(), reboot)),
        trial("run::in_order_and_with_status", || {
            run("memory json; idt 3 json; poweroff 7", run_in_order)
        }),
        trial("run::continues_after_an_error", || {
            run("nope; idt 3 json; poweroff", run_after_a_mistake)
        }),
        trial("run::ends_at_the_prompt", || {
            run("idt 3 json", run_then_prompt)
        }),
    ];
    trials.extend([0_u8, 1, 42, 100].map(|status| {
        trial(format!("monitor::poweroff_{status}"), move || {
            with(&plain(), |session| poweroff(status, session))
        })
    }));
    trials.extend((1..).zip(BAD_OPTIONS).map(|(number, &(line, message))| {
        trial(format!("options::mistake_{number}"), move || {
            with(&plain().append(line), |session| {
                bad_option(line, message, session)
            })
        })
    }));
    trials
}

fn help(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("help", TIMEOUT)?;
    let names: Vec<_> = reply
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        // An indented line continues the previous one.
        .filter_map(|line| line.split(' ').next().filter(|word| !word.is_empty()))
        .collect();
    for line in reply.lines() {
        let width = line.chars().count();
        ensure!(width <= 100, "{width} characters: {line}");
    }
    for name in ["help", "idt", "memory", "fault", "poweroff", "reboot"] {
        ensure!(
            names.contains(&name),
            "`help` does not list {name}:\n{reply}"
        );
    }
    for name in names {
        let reply = session.command(&format!("help {name}"), TIMEOUT)?;
        let used = reply.lines().next().unwrap_or_default();
        ensure_eq!(
            used.split(' ').next(),
            Some(name),
            "first word of `help {name}`"
        );
        ensure!(
            reply.lines().count() > 1,
            "`help {name}` says nothing:\n{reply}"
        );
    }
    Ok(())
}

fn mistakes(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for (line, message) in MISTAKES {
        let reply = session.command(line, TIMEOUT)?;
        ensure!(
            reply.starts_with(message),
            "{line:?}: expected {message:?}, found {reply:?}"
        );
    }
    Ok(())
}

/// An empty line, a corrected typing error, and a line that is too long.
fn editing(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    ensure_eq!(session.command("", TIMEOUT)?, "", "answer to an empty line");
    session.send_line("idxt\u{8}\u{8}t 3 json")?;
    let reply = session.wait_prompt(TIMEOUT)?;
    ensure!(
        reply.contains(&gate_record(3)),
        "backspace did not put it right:\n{reply}"
    );
    session.send_line(&"x".repeat(1000))?;
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("idt 3 json", TIMEOUT)?;
    ensure!(
        reply.contains(&gate_record(3)),
        "no answer after a long line:\n{reply}"
    );
    Ok(())
}

fn joined(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("idt 3 json;nope ; idt 14 json;", TIMEOUT)?;
    let offsets = [
        gate_record(3),
        "unknown command `nope`".to_owned(),
        gate_record(14),
    ];
    let offsets: Vec<_> = offsets.map(|part| reply.find(&part)).into();
    ensure!(
        offsets.iter().all(Option::is_some),
        "an answer is missing:\n{reply}"
    );
    ensure!(
        offsets.is_sorted(),
        "the answers are out of order:\n{reply}"
    );
    Ok(())
}

fn poweroff(status: u8, session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    power_off_with(session, status)
}

/// Without a status, the exit status of `poweroff` shows whether a command has failed.
fn poweroff_after_a_mistake(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.command("nope", TIMEOUT)?;
    power_off_failed(session)
}

fn reboot(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.send_line("reboot")?;
    let event = session.expect_event("RESET", 1, TIMEOUT)?;
    ensure_eq!(event.reason(), "guest-reset", "reason of the reset");
    session.expect("tocsin 0.", TIMEOUT)?;
    session.wait_prompt(TIMEOUT)?;
    // By the requested reset, not by the triple fault that also resets a PC.
    ensure!(
        !session.log().contains("Triple fault"),
        "the reset was a triple fault"
    );
    power_off(session)
}

/// Boots with `run=`, in quotes.
fn run(script: &str, test: fn(&mut Session) -> Result) -> Result {
    let machine: Machine = plain().append(format!("run=\"{script}\""));
    with(&machine, test)
}

fn run_in_order(session: &mut Session) -> Result {
    session.expect_exit(Outcome::Kernel(7), TIMEOUT)?;
    let output = session.transcript().text_from(0);
    let offsets = [
        "tocsin> memory json\n@json ".to_owned(),
        format!("tocsin> idt 3 json\n{}", gate_record(3)),
        "tocsin> poweroff 7".to_owned(),
    ];
    let offsets: Vec<_> = offsets.map(|part| output.find(&part)).into();
    ensure!(
        offsets.iter().all(Option::is_some),
        "a command or its answer is missing"
    );
    ensure!(offsets.is_sorted(), "the commands are out of order");
    ensure_eq!(output.matches(PROMPT).count(), 3, "prompts");
    Ok(())
}

fn run_after_a_mistake(session: &mut Session) -> Result {
    session.expect_exit(Outcome::Kernel(1), TIMEOUT)?;
    let output = session.transcript().text_from(0);
    for part in ["nope: unknown command `nope`", &gate_record(3)] {
        ensure!(output.contains(part), "{part:?} is missing");
    }
    Ok(())
}

fn run_then_prompt(session: &mut Session) -> Result {
    session.expect(&gate_record(3), TIMEOUT)?;
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("idt 14 json", TIMEOUT)?;
    ensure!(
        reply.contains(&gate_record(14)),
        "no answer at the prompt:\n{reply}"
    );
    Ok(())
}

/// The kernel reports the error and boots.
fn bad_option(line: &str, message: &str, session: &mut Session) -> Result {
    let log = session.wait_prompt(TIMEOUT)?;
    ensure!(
        log.contains(&format!("command line: {line:?}")),
        "the line is not in the log:\n{log}"
    );
    let warning = format!("warning: command line: {message}");
    ensure!(
        log.contains(&warning),
        "{warning:?} is not in the log:\n{log}"
    );
    Ok(())
}
