//! Interrupts to all CPUs while the machine has CPUs that the kernel does not own.

use libtest_mimic::Trial;
use serde::Deserialize;
use serde_json::json;
use tocsin_tests::interrupt_records::{Ipi, Storm};
use tocsin_tests::processor::Processor;
use tocsin_tests::records;
use tocsin_tools::Session;
use tocsin_tools::settings::Smp;

use super::TIMEOUT;
use crate::{MODES, Result, ensure, ensure_eq, machine, machine_in, plain, power_off, trial, with};

/// The number of CPUs at the start, and after CPUs were added in all of QEMU's free slots.
const CPUS: &str = "2,maxcpus=6";
const ADDED: std::ops::Range<u32> = 2..6;

/// On the second machine, a CPU that is added while shorthands are in use resets the machine.
const BOARDS: [&str; 2] = ["q35", "pc"];

/// Machines without shorthands: the number of CPUs, an option, and the reason with its
/// number of CPUs.
const IN_TURN: [(&str, &str, &str, u32); 3] = [
    (CPUS, "", "addable", 4),
    ("4", "maxcpus=2", "left_out", 2),
    ("4", "failcpu=3@kernel", "failed", 1),
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
                session.wait_prompt(TIMEOUT)?;
                check_method(session, &BroadcastMethod::shorthand())?;
                power_off(session)
            })
        })
    }));
    trials.push(trial("smp::shorthands_are_not_used", || {
        for (cpus, option, reason, others) in IN_TURN {
            let machine = machine(1)?.smp(Smp::parse(cpus)?).append(option);
            with(&machine, |session| {
                session.wait_prompt(TIMEOUT)?;
                check_method(session, &BroadcastMethod::each_cpu(reason, others))?;
                power_off(session)
            })?;
        }
        Ok(())
    }));
    trials
}

/// A record of `ipi json`, of kind `ipi_broadcast`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct BroadcastMethod {
    method: String,
    reason: Option<String>,
    cpus: Option<u32>,
}

impl BroadcastMethod {
    /// One write with a destination shorthand.
    fn shorthand() -> Self {
        Self {
            method: "shorthand".to_owned(),
            reason: None,
            cpus: None,
        }
    }

    /// One write for each CPU, because of this number of other CPUs.
    fn each_cpu(reason: &str, cpus: u32) -> Self {
        Self {
            method: "each_cpu".to_owned(),
            reason: Some(reason.to_owned()),
            cpus: Some(cpus),
        }
    }
}

/// `ipi` sends by this method, and everything that it sent to all CPUs has arrived.
fn check_method(session: &mut Session, method: &BroadcastMethod) -> Result {
    let reply = session.command("ipi json", TIMEOUT)?;
    let found: BroadcastMethod = records::one(&reply, "ipi_broadcast")?;
    ensure_eq!(found, *method, "method");
    let all: Vec<Ipi> = records::all(&reply, "ipi")?;
    let to_all = |ipi: &&Ipi| ipi.interrupt.ends_with("_all") || ipi.interrupt.ends_with("_others");
    let to_all: Vec<_> = all.iter().filter(to_all).collect();
    ensure_eq!(to_all.len(), 7, "kinds to all, of {all:?}");
    for ipi in to_all {
        ensure!(
            ipi.sent > 0 && ipi.sent == ipi.received && ipi.refused == 0,
            "not all received: {ipi:?}"
        );
    }
    Ok(())
}

/// CPUs that are added while the kernel runs receive none of its interrupts. An interrupt would
/// make such a CPU run firmware code at the reset vector, and reset the machine.
fn hot_added(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    session.send_line("storm 3 json")?;
    session.expect("storm_start", TIMEOUT)?;
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
    let storm: Storm = records::one(&session.wait_prompt(TIMEOUT)?, "storm")?;
    ensure!(storm.passed, "the storm has not passed");
    session.command("tlb", TIMEOUT)?;
    check_method(session, &BroadcastMethod::each_cpu("addable", 4))?;
    // All of them are still in the state in which QEMU adds them.
    let processors = Processor::all(session)?;
    for added in &processors[2..] {
        ensure!(added.halted, "a CPU that was added runs: {added:x?}");
    }
    power_off(session)
}
