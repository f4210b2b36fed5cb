//! Interrupts to all CPUs while the machine has CPUs that the kernel does not own.

use libtest_mimic::Trial;
use serde_json::json;
use tocsin_tests::processor::Processor;
use tocsin_tools::Session;
use tocsin_tools::settings::Smp;

use super::PATIENCE;
use crate::{MODES, Result, ensure, machine, machine_in, plain, power_off, trial, with};

/// The number of CPUs at the start, and after CPUs were added in all of QEMU's free slots.
const CPUS: &str = "2,maxcpus=6";
const ADDED: std::ops::Range<u32> = 2..6;

/// On the second machine, a CPU that is added while shorthands are in use resets the machine.
const BOARDS: [&str; 2] = ["q35", "pc"];

const SHORTHAND: &str = "by destination shorthand (every CPU is online)";

/// Machines without shorthands: the number of CPUs, an option, and the reason.
const IN_TURN: [(&str, &str, &str); 3] = [
    (CPUS, "", "4 CPUs may be added"),
    ("4", "maxcpus=2", "2 CPUs were left out"),
    ("4", "failcpu=3@kernel", "1 CPU did not start"),
];

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = MODES
        .into_iter()
        .map(|mode| {
            trial(format!("smp::hot_added_cpus::{mode}"), move || {
                for board in BOARDS {
                    let machine = plain().board(board).smp(Smp::parse(CPUS)?);
                    with(&machine.append(format!("apic={mode}")), hot_added)?;
                }
                Ok(())
            })
        })
        .collect();
    trials.extend(MODES.map(|mode| {
        trial(format!("smp::shorthands_are_used::{mode}"), move || {
            with(&machine_in(mode, 2)?, |session| {
                session.wait_prompt(PATIENCE)?;
                check_choice(session, SHORTHAND)?;
                power_off(session)
            })
        })
    }));
    trials.push(trial("smp::shorthands_are_not_used", || {
        for (cpus, option, reason) in IN_TURN {
            let machine = machine(1)?.smp(Smp::parse(cpus)?).append(option);
            with(&machine, |session| {
                session.wait_prompt(PATIENCE)?;
                check_choice(session, &format!("to each online CPU in turn ({reason})"))?;
                power_off(session)
            })?;
        }
        Ok(())
    }));
    trials
}

/// `ipi` prints how it sends, and everything that it sent has arrived.
fn check_choice(session: &mut Session, choice: &str) -> Result {
    let answer = session.command("ipi", PATIENCE)?;
    let line = format!("interrupts to all CPUs are sent {choice}");
    ensure!(answer.contains(&line), "{line:?} is not in:\n{answer}");
    let rows: Vec<_> = answer
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("call all") || line.starts_with("interrupt all"))
        .collect();
    ensure!(rows.len() == 7, "kinds to all: {rows:?}");
    for row in rows {
        let numbers: Vec<u64> = row
            .split_whitespace()
            .rev()
            .take(3)
            .filter_map(|number| number.parse().ok())
            .collect();
        let [refused, received, sent] = numbers[..] else {
            return Err(format!("no numbers in {row:?}").into());
        };
        ensure!(
            sent > 0 && sent == received && refused == 0,
            "not all came: {row:?}"
        );
    }
    Ok(())
}

/// CPUs that are added while the kernel runs receive none of its interrupts. An interrupt would
/// make such a CPU run firmware code at the reset vector, and reset the machine.
fn hot_added(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    session.send_line("storm 3")?;
    session.expect("makes the same choices again", PATIENCE)?;
    for core in ADDED {
        let device = json!({
            "driver": "max-x86_64-cpu", "id": format!("cpu{core}"),
            "socket-id": 0, "die-id": 0, "core-id": core, "thread-id": 0,
        });
        session.qmp("device_add", &device)?;
    }
    let count = session.qmp("query-cpus-fast", &json!({}))?;
    ensure!(
        count.as_array().is_some_and(|cpus| cpus.len() == 6),
        "QEMU has other CPUs: {count}"
    );
    session.expect("nothing lost", PATIENCE)?;
    session.wait_prompt(PATIENCE)?;
    session.command("tlb", PATIENCE)?;
    check_choice(session, "to each online CPU in turn (4 CPUs may be added)")?;
    // All of them are still in the state in which QEMU adds them.
    let processors = Processor::all(session)?;
    for added in &processors[2..] {
        ensure!(added.halted, "a CPU that was added runs: {added:x?}");
    }
    power_off(session)
}
