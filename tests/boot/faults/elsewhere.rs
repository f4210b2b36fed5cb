//! The same faults on other CPUs: each has its own stacks, guard pages and TSS, and
//! shares the gates.

use libtest_mimic::Trial;
use tocsin_tests::qemu_log;
use tocsin_tests::report::Report;
use tocsin_tests::symbols::Symbols;
use tocsin_tools::settings::Smp;
use tocsin_tools::{Machine, Outcome, Session};

use super::check_delivery;
use super::kinds::{Address, KINDS, Kind};
use crate::{PATIENCE, Result, STOPPED, ensure, ensure_eq, plain, trial, with};

/// CPUs of the machine, and which of them the faults happen on.
const CPUS: &str = "4";
const OTHERS: [u32; 3] = [1, 2, 3];

/// The faults to try: one of each way to the report.
const TRIED: [&str; 6] = ["ud", "bp", "idt-write", "null-call", "df", "stack-overflow"];

pub fn trials() -> Vec<Trial> {
    let tried = KINDS.iter().filter(|kind| TRIED.contains(&kind.name));
    let mut trials: Vec<_> = tried
        .zip(OTHERS.iter().cycle())
        .map(|(kind, cpu)| {
            trial(format!("fault::{}_on_cpu_{cpu}", kind.name), move || {
                with(&machine()?.log("int"), |session| {
                    provoke(kind, *cpu, session)
                })
            })
        })
        .collect();
    trials.push(trial("fault::on_no_cpu", || with(&machine()?, on_no_cpu)));
    trials
}

fn machine() -> Result<Machine> {
    Ok(plain().smp(Smp::parse(CPUS)?))
}

fn provoke(kind: &Kind, cpu: u32, session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    let line = format!("fault {} {cpu}", kind.name);
    let output = if kind.goes_on {
        let answer = session.command(&line, PATIENCE)?;
        session.send_line("poweroff")?;
        session.expect_exit(Outcome::Kernel(0), PATIENCE)?;
        answer
    } else {
        let before = session.transcript().bytes().len();
        session.send_line(&line)?;
        session.expect_exit(STOPPED, PATIENCE)?;
        session.transcript().text_from(before)
    };
    let report = Report::parse(&output)?;
    ensure_eq!(report.cpu, cpu, "CPU");
    ensure_eq!(report.title, kind.title, "title");
    let expected = kind
        .error_code
        .map(|(value, meaning)| (value, meaning.to_owned()));
    ensure_eq!(report.error_code, expected, "error code");
    let words = match kind.address {
        Address::None => None,
        Address::Is(_, words) | Address::Within(words) => Some(words),
    };
    let words = words.map(|words| words.replace("CPU 0's", &format!("CPU {cpu}'s")));
    let told = report.address.as_ref().map(|(_, words)| words.clone());
    ensure_eq!(told, words, "what lies at the address");
    // Left by the two that lose their stack.
    if !matches!(kind.name, "df" | "stack-overflow") {
        let stack = format!("CPU {cpu}'s thread stack, ");
        ensure!(
            report.stack.starts_with(&stack),
            "the stack is {:?}",
            report.stack
        );
    }
    let symbols = Symbols::of_the_image()?;
    for code in &report.backtrace {
        symbols.check(code)?;
    }
    let log = qemu_log::deliveries(&session.log());
    let delivery = log.iter().rfind(|delivery| delivery.vector == kind.vector);
    let delivery = delivery.ok_or(format!(
        "QEMU's log has no delivery of vector {}",
        kind.vector
    ))?;
    check_delivery(&report, delivery)
}

fn on_no_cpu(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    let answer = session.command("fault ud 4", PATIENCE)?;
    let expected = "fault: CPU 4 is not online; `cpus` lists those that are";
    ensure!(answer.starts_with(expected), "found {answer:?}");
    Ok(())
}
