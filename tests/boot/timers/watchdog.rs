//! CPUs that are stuck at the same time: the kernel names each with its activity, and again when it
//! has recovered.

use libtest_mimic::Trial;
use serde::Deserialize;
use tocsin_tests::records;
use tocsin_tools::Session;

use super::{machine, power_off};
use crate::{Result, TIMEOUT, ensure, ensure_eq, trial, with};

/// The stuck CPU, and the number of CPUs.
const CASES: [(&str, u32, &[u32]); 4] = [
    ("neighbours", 4, &[1, 2]),
    ("around_the_ring", 4, &[3, 0]),
    ("all_but_one", 4, &[0, 1, 3]),
    ("one_of_two", 2, &[1]),
];

/// Soft lockups: the command, the message, the context in it, and the message at its end.
const SOFT: [(&str, &str, &str, &str); 3] = [
    (
        "lockup-handler",
        "soft lockup: no deferred work for 5",
        "it is in a handler of class 6 (vector 0x6",
        "runs deferred work again, after",
    ),
    (
        "lockup-raised",
        "soft lockup: no deferred work for 5",
        "it runs a thread",
        "runs deferred work again, after",
    ),
    (
        "lockup-thread",
        "soft lockup: no thread for 10",
        "it is in a handler of class 2 (vector 0x20)",
        "runs its thread again, after",
    ),
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
    for (kind, problem, frame, back) in SOFT {
        for cpus in [1, 2] {
            trials.push(trial(
                format!("timers::watchdog::{kind}_{cpus}"),
                move || {
                    with(&machine(cpus)?, |session| {
                        soft(session, cpus - 1, kind, problem, frame, back)
                    })
                },
            ));
        }
    }
    trials.push(trial("timers::watchdog::alone", || {
        with(&machine(1)?, alone)
    }));
    trials
}

/// A record of `watchdog show json`, of kind `watchdog`.
#[derive(Deserialize)]
struct Watched {
    cpu: u32,
}

/// A record of `watchdog on json`, of kind `watchdog_limits`.
#[derive(Deserialize)]
struct Limits {
    cpus: u32,
}

fn all_named(session: &mut Session, stuck: &[u32]) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.command("watchdog on", TIMEOUT)?;
    let numbers: Vec<_> = stuck.iter().map(u32::to_string).collect();
    let line = format!("fault lockup {}", numbers.join(" "));
    let begin = session.transcript().bytes().len();
    session.send_line(&line)?;
    // A recovered CPU reports this at its next heartbeat, which may be after the prompt.
    for _ in stuck {
        session.expect("handles interrupts again", TIMEOUT)?;
    }
    session.send_line("")?;
    session.wait_prompt(TIMEOUT)?;
    session.command("watchdog off", TIMEOUT)?;
    let output = session.transcript().text_from(begin);
    for &cpu in stuck {
        let named = format!("error: watchdog: CPU {cpu}: hard lockup: no interrupts for ");
        let back = format!("warning: watchdog: CPU {cpu}: handles interrupts again, after ");
        ensure_eq!(output.matches(&named).count(), 1, "{named:?} in:\n{output}");
        ensure_eq!(output.matches(&back).count(), 1, "{back:?} in:\n{output}");
        let (_, after) = output.split_once(&named).unwrap_or_default();
        let calls = after.lines().skip(1);
        let calls: Vec<_> = calls.take_while(|line| line.starts_with("    ")).collect();
        ensure!(
            calls
                .iter()
                .any(|call| call.contains("tocsin_monitor::commands::fault_injection::lock_up+0x")),
            "CPU {cpu} is not where it is stuck, but in {calls:?}, in:\n{output}"
        );
    }
    ensure_eq!(
        output.matches("hard lockup: no interrupts").count(),
        stuck.len(),
        "CPUs that were named, in:\n{output}"
    );
    power_off(session)
}

/// A CPU that has heartbeats is reported with the context that does not run on it, and again when
/// it does. The report of another CPU has a backtrace.
fn soft(
    session: &mut Session,
    cpu: u32,
    kind: &str,
    problem: &str,
    frame: &str,
    back: &str,
) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.command("watchdog on", TIMEOUT)?;
    session.send_line(&format!("fault {kind} {cpu}"))?;
    session.expect(&format!("error: watchdog: CPU {cpu}: {problem}"), TIMEOUT)?;
    session.expect(frame, TIMEOUT)?;
    // If work is deferred repeatedly, the NMI may interrupt any of several functions.
    if cpu > 0 && kind != "lockup-thread" {
        session.expect(
            "tocsin_monitor::commands::fault_injection::stay+0x",
            TIMEOUT,
        )?;
    }
    // At the next heartbeat, which may be after the prompt and then redraws it.
    session.expect(&format!("warning: watchdog: CPU {cpu}: {back}"), TIMEOUT)?;
    // Not detected by a prompt, which may be redrawn.
    session.send_line("watchdog show json; idt 3")?;
    let reply = session.expect("vector 3 (0x03)", TIMEOUT)?;
    let watched: Vec<Watched> = records::all(&reply, "watchdog")?;
    let cpus: Vec<_> = watched.iter().map(|watched| watched.cpu).collect();
    ensure_eq!(cpus, (0..=cpu).collect::<Vec<_>>(), "CPUs that are watched");
    session.send_line("watchdog off")?;
    power_off(session)
}

/// No other CPU can watch a single CPU, and the command reports this.
fn alone(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("watchdog on json", TIMEOUT)?;
    let limits: Limits = records::one(&reply, "watchdog_limits")?;
    ensure_eq!(limits.cpus, 1, "CPUs that are watched");
    power_off(session)
}
