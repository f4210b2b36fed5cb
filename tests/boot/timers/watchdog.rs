//! CPUs that are stuck together: each is named with what it does, and named again when it is back.

use libtest_mimic::Trial;
use tocsin_tools::Session;

use super::{machine, power_off};
use crate::{PATIENCE, Result, ensure, ensure_eq, trial, with};

/// Who is stuck, on how many CPUs.
const CASES: [(&str, u32, &[u32]); 4] = [
    ("neighbours", 4, &[1, 2]),
    ("around_the_ring", 4, &[3, 0]),
    ("all_but_one", 4, &[0, 1, 3]),
    ("one_of_two", 2, &[1]),
];

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = CASES
        .iter()
        .map(|&(name, cpus, stuck)| {
            trial(format!("timers::watchdog::{name}"), move || {
                with(&machine(cpus)?, |session| all_named(session, stuck))
            })
        })
        .collect();
    trials.push(trial("timers::watchdog::alone", || {
        with(&machine(1)?, alone)
    }));
    trials
}

fn all_named(session: &mut Session, stuck: &[u32]) -> Result {
    session.wait_prompt(PATIENCE)?;
    session.command("watchdog on", PATIENCE)?;
    let numbers: Vec<_> = stuck.iter().map(u32::to_string).collect();
    let line = format!("fault lockup {}", numbers.join(" "));
    let begin = session.transcript().bytes().len();
    session.send_line(&line)?;
    // Who comes back says so at its next beat, which may be after the prompt.
    for _ in stuck {
        session.expect("answers interrupts again", PATIENCE)?;
    }
    session.send_line("")?;
    session.wait_prompt(PATIENCE)?;
    session.command("watchdog off", PATIENCE)?;
    let said = session.transcript().text_from(begin);
    for &cpu in stuck {
        let named = format!("error: watchdog: CPU {cpu} has not answered interrupts for ");
        let back = format!("warning: watchdog: CPU {cpu} answers interrupts again, after ");
        ensure_eq!(said.matches(&named).count(), 1, "{named:?} in:\n{said}");
        ensure_eq!(said.matches(&back).count(), 1, "{back:?} in:\n{said}");
        let (_, after) = said.split_once(&named).unwrap_or_default();
        let calls = after.lines().skip(1);
        let calls: Vec<_> = calls.take_while(|line| line.starts_with("    ")).collect();
        ensure!(
            calls
                .iter()
                .any(|call| call.contains("tocsin::monitor::provoke::lock_up+0x")),
            "CPU {cpu} is not where it is stuck, but in {calls:?}, in:\n{said}"
        );
    }
    ensure_eq!(
        said.matches("has not answered").count(),
        stuck.len(),
        "CPUs that were named, in:\n{said}"
    );
    power_off(session)
}

/// One CPU has nobody to watch it, and the command says so.
fn alone(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    let answer = session.command("watchdog on", PATIENCE)?;
    ensure!(
        answer.contains("Only one CPU is online: there is none to watch it."),
        "{answer}"
    );
    power_off(session)
}
