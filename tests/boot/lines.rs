//! Lines: every vector of a CPU, rejected requests, and the storm of all kinds of interrupts while
//! lines are created, dropped and moved.

use std::time::{SystemTime, UNIX_EPOCH};

use libtest_mimic::Trial;
use serde::Deserialize;
use serde_json::json;
use tocsin_tests::controllers::Shared;
use tocsin_tests::interrupt_records::Storm;
use tocsin_tests::interrupts::counted_by_both;
use tocsin_tests::records;
use tocsin_tools::{Machine, Outcome, Session};

use crate::{MODES, Result, SIZES, TIMEOUT, ensure, ensure_eq, power_off, trial, with};

/// Number of vectors for lines per CPU: classes 3 to 13, except for twelve with a fixed use.
const VECTORS: u64 = 11 * 16 - 12;

/// The rejected requests of `lines test`: one vector more than each class has, a missing CPU, ISA
/// interrupt and GSI, a pin that is in use, and an IPI to a level-triggered one.
const REJECTED: u64 = 16 + 5;

/// Level-triggered inputs among those of the ISA, from QEMU's MADT.
const LEVELS: u64 = 4;

/// The participants of the storm.
const DEVICES: [&str; 6] = [
    "-device",
    "edu",
    "-device",
    "edu",
    "-device",
    "virtio-rng-pci,disable-legacy=on",
];

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for mode in MODES {
        for cpus in SIZES {
            let name = format!("lines::every_vector::{mode}::smp{cpus}");
            trials.push(trial(name, move || {
                every_vector(&machine(mode, cpus, None)?, cpus - 1)
            }));
            // The long run is on the machine whose vCPUs have the largest share of the host.
            let seconds = if cpus == 2 { 10 } else { 2 };
            let name = format!("lines::storm::{mode}::smp{cpus}::{seconds}s");
            trials.push(trial(name, move || {
                let run = format!("storm {seconds} {} json; poweroff", seed());
                storm(&machine(mode, cpus, Some(run))?)
            }));
        }
        for cpus in [1, 4] {
            let name = format!("lines::unclaimed::{mode}::smp{cpus}");
            trials.push(trial(name, move || {
                unclaimed(&machine(mode, cpus, None)?, cpus - 1)
            }));
        }
        let name = format!("lines::latched::{mode}");
        trials.push(trial(name, move || {
            latched(&machine(mode, 2, None)?.args(["-serial", "null"]))
        }));
        let name = format!("lines::storm::{mode}::as_delivered");
        trials.push(trial(name, move || {
            let run = format!("storm 1 {} json; irqs json; poweroff", seed());
            as_delivered(&machine(mode, 2, Some(run))?.log("int"))
        }));
    }
    trials
}

/// With `run`, the machine executes these commands automatically.
fn machine(mode: &str, cpus: u32, run: Option<String>) -> Result<Machine> {
    let run = run.map_or(String::new(), |run| format!(" run=\"{run}\""));
    let append = format!("apic={mode}{run}");
    Ok(crate::machine(cpus)?.append(append).args(DEVICES))
}

/// Each vector of the boot CPU and of the last CPU is allocated, delivers once and is freed, twice.
fn every_vector(machine: &Machine, last: u32) -> Result {
    with(machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        for _ in 0..2 {
            for cpu in [0, last] {
                let reply = session.command(&format!("lines test {cpu} json"), TIMEOUT)?;
                // The console and the keyboard use vectors of the boot CPU.
                let vectors = VECTORS - 2 * u64::from(cpu == 0);
                let expected = json!({
                    "kind": "lines_test",
                    "cpu": cpu,
                    "vectors": vectors,
                    "received": vectors,
                    "rejected_requests": REJECTED,
                    "level_triggered": LEVELS,
                    "errors": [],
                });
                ensure!(
                    records::contain(&reply, &expected)?,
                    "found {reply}, expected {expected}"
                );
            }
        }
        power_off(session)
    })
}

/// By the kernel's counts, which include the seed, no interrupt is lost or duplicated.
fn storm(machine: &Machine) -> Result {
    with(machine, |session| {
        session.expect_exit(Outcome::Kernel(0), TIMEOUT)?;
        every_kind(session)
    })
}

/// A line whose interrupts no handler claims is masked, which QEMU confirms, reported and retried;
/// once handled, it works as before.
fn unclaimed(machine: &Machine, cpu: u32) -> Result {
    /// The input of the first `edu`'s pin.
    const PIN: usize = 10;
    with(machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        let is_open = |session: &Session| -> Result<bool> {
            let shared = Shared::of(session)?;
            let io_apic = shared.io_apics.first().ok_or("no I/O APIC")?;
            Ok(io_apic.unmasked().contains(&PIN))
        };
        session.send_line(&format!("storm unclaimed {cpu} json"))?;
        for reported in ["masked for 100 ms", "masked for 200 ms, storm 2 in a row"] {
            session.expect(&format!("warning: line edu (GSI {PIN}, "), TIMEOUT)?;
            session.expect(reported, TIMEOUT)?;
        }
        session.expect("masked for 400 ms, storm 3 in a row", TIMEOUT)?;
        ensure!(!is_open(session)?, "QEMU's pin {PIN} is not masked");
        session.expect("line edu: unmasked on probation", TIMEOUT)?;
        let events = events(&session.wait_prompt(TIMEOUT)?)?;
        let storms: Vec<_> = events.iter().filter_map(|event| event.storm).collect();
        ensure_eq!(storms, [1, 2, 3], "storms");
        let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
        let mask = "masked";
        let expected = ["handled", mask, mask, mask, "retried", "handled"];
        ensure_eq!(names, expected, "events");
        ensure!(!is_open(session)?, "the line is gone, but its pin is open");
        power_off(session)
    })
}

/// A record of `storm unclaimed json` or `storm latched json`, of kind `storm_step`.
#[derive(Deserialize)]
struct Event {
    event: String,
    storm: Option<u32>,
}

/// The events, except for the observation of a masked line, for which a busy host may leave no
/// time.
fn events(reply: &str) -> Result<Vec<Event>> {
    let mut events: Vec<Event> = records::all(reply, "storm_step")?;
    events.retain(|event| event.event != "silent");
    Ok(events)
}

/// An edge that arrives while its line is masked for a storm is replayed.
fn latched(machine: &Machine) -> Result {
    with(machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        let events = events(&session.command("storm latched json", TIMEOUT)?)?;
        let names: Vec<_> = events.iter().map(|event| event.event.as_str()).collect();
        ensure_eq!(names, ["handled", "masked", "retried", "handled"], "events");
        power_off(session)
    })
}

/// The kernel's count of each vector is the number that QEMU delivered.
fn as_delivered(machine: &Machine) -> Result {
    with(machine, |session| {
        session.expect_exit(Outcome::Kernel(0), TIMEOUT)?;
        every_kind(session)?;
        counted_by_both(&session.transcript().text_from(0), &session.log())?;
        Ok(())
    })
}

/// Every kind took part, except for calls to others on a single CPU.
fn every_kind(session: &Session) -> Result {
    let text = session.transcript().text_from(0);
    let alone = text.contains("ready: 1/1 CPUs");
    let storm: Storm = records::one(&text, "storm")?;
    ensure!(storm.passed, "the storm has not passed:\n{text}");
    let kinds: Vec<Interrupts> = records::all(&text, "storm_interrupts")?;
    for kind in &kinds {
        ensure_eq!(kind.sent, kind.received, "sent and received in {kind:?}");
        ensure!(
            kind.sent > 0 || (alone && kind.interrupt == "broadcast_call"),
            "nothing was sent: {kind:?}"
        );
    }
    ensure_eq!(kinds.len(), 11, "kinds of interrupts");
    Ok(())
}

/// A record of `storm json`, of kind `storm_interrupts`.
#[derive(Debug, Deserialize)]
struct Interrupts {
    interrupt: String,
    sent: u64,
    received: u64,
}

/// A different seed each time; the kernel prints it, and accepts it as an argument.
fn seed() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(1, |since| since.subsec_nanos())
}
