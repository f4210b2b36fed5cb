//! Every interrupt source of a machine: the interrupts it raises are the interrupts that the kernel
//! receives and that QEMU reports as delivered.

mod firmware;
mod machines;
mod outside;

use libtest_mimic::Trial;
use serde::Deserialize;
use serde_json::{Value, json};
use tocsin_tests::records;
use tocsin_tests::sources::{SourceRun, runs};
use tocsin_tools::Session;

use crate::{
    MODES, Result, TIMEOUT, ensure, ensure_eq, plain, power_off, power_off_failed, trial, with,
};
use machines::{Board, ExpectedRoute, PC, Q35, RTC_ROUTE, Source, TWO_IO_APICS};

/// Number of interrupts of each source.
const COUNT: u64 = 20;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for board in [Q35, PC, TWO_IO_APICS] {
        for mode in MODES {
            for cpus in [1_u32, 2, 4, 8] {
                trials.push(driven(board, mode, cpus));
            }
        }
        let name = format!("sources::clock::{}", board.name);
        trials.push(trial(name, move || clock(board)));
    }
    trials.push(driven(Q35, "x2apic", 32));
    trials.push(trial("sources::messages", messages));
    trials.push(trial("sources::pit_in_virtual_time", in_virtual_time));
    trials.push(trial("sources::absent", absent));
    trials.push(trial("sources::wrong_words", wrong_words));
    trials.push(trial(
        "sources::no_registers_in_memory",
        no_registers_in_memory,
    ));
    trials.push(trial("sources::two_at_one_pin", two_at_one_pin));
    trials.extend(outside::trials());
    trials.extend(firmware::trials());
    trials
}

/// All fast sources, each on another CPU.
fn driven(board: Board, mode: &'static str, cpus: u32) -> Trial {
    let name = format!("sources::driven::{}::{mode}::smp{cpus}", board.name);
    trial(name, move || {
        with(&board.machine(mode, cpus)?, |session| {
            session.wait_prompt(TIMEOUT)?;
            for (index, source) in (0..).zip(board.sources) {
                // From the last CPU down.
                let cpu = cpus - 1 - index % cpus;
                drive(session, source, cpu)?;
            }
            power_off(session)
        })
    })
}

/// Drives one source, checks its runs and returns them.
fn drive(session: &mut Session, source: &Source, cpu: u32) -> Result<Vec<SourceRun>> {
    let command = format!("sources {} {COUNT} {cpu} json", source.name);
    let runs = runs(&session.command(&command, TIMEOUT)?)?;
    let expected = source.runs();
    let found: Vec<_> = runs.iter().map(SourceRun::name).collect();
    let names: Vec<_> = expected.iter().map(|(name, _)| name.clone()).collect();
    ensure_eq!(found, names, "runs of {}", source.name);
    for (run, (_, route)) in runs.iter().zip(expected) {
        check(run, route, cpu)?;
    }
    Ok(runs)
}

/// Both ends have the same count, as far as the source permits.
fn check(run: &SourceRun, expected: Option<&ExpectedRoute>, cpu: u32) -> Result {
    let name = run.name();
    ensure_eq!(run.cpu, cpu, "{name}: CPU");
    ensure_eq!(run.vector >> 4, 5, "{name}: class of vector");
    // An interrupt that is in flight when its source is stopped finds no cause.
    let most = u64::from(run.trigger.as_deref() == Some("level") && run.mode == "periodic");
    ensure!(
        run.unclaimed <= most,
        "{name}: {} without a reason",
        run.unclaimed
    );
    let is_there = match (&run.route, expected) {
        (Some(route), Some(expected)) => expected.is_of(route),
        (route, expected) => route.is_none() && expected.is_none(),
    };
    ensure!(
        is_there,
        "{name}: its route is {:?}, expected {expected:?}",
        run.route
    );
    check_counts(run, COUNT)
}

/// The number received is the number raised: `count`, or 1 while masked.
pub fn check_counts(run: &SourceRun, count: u64) -> Result {
    let name = run.name();
    let found = (run.raised, run.received);
    let source = run.source.as_str();
    let trigger = run.trigger.as_deref().unwrap_or(match source {
        "virtio" => "level",
        _ => "edge",
    });
    match (run.mode.as_str(), trigger) {
        ("masked", "edge") => {
            ensure_eq!(found, (1, 0), "{name}");
        }
        // A level-triggered interrupt stays pending.
        ("masked", "level") => {
            ensure_eq!(found, (1, 1), "{name}");
        }
        ("masked", _) => ensure!(run.received <= 1, "{name}: {found:?}"),
        ("periodic", _) if source == "pit" => {
            ensure!(run.is_estimate, "{name}: the PIT counts no periods");
            ensure!(run.received >= count, "{name}: {found:?}");
        }
        // If the host is late, edges merge; but there must not be more than were raised.
        ("periodic", "edge" | "message") => {
            ensure!(run.received >= 1, "{name}: {found:?}");
            ensure!(run.received <= run.raised + 1, "{name}: {found:?}");
        }
        _ => {
            ensure_eq!(run.received, run.raised, "{name}: received");
            ensure!(run.raised >= count, "{name}: {found:?}");
        }
    }
    Ok(())
}

/// The RTC: every rate, the update interrupt, and a masked edge that requires a manual
/// acknowledgement.
fn clock(board: Board) -> Result {
    with(&board.machine("x2apic", 2)?, |session| {
        session.wait_prompt(TIMEOUT)?;
        let reply = session.command(&format!("sources rtc {COUNT} 1 json"), TIMEOUT)?;
        let runs = runs(&reply)?;
        let expected = [
            ("rtc periodic 8192", COUNT),
            ("rtc periodic 1024", COUNT),
            ("rtc periodic 2", 1),
            ("rtc update_ended", 1),
            ("rtc after_masked", 1),
        ];
        ensure_eq!(runs.len(), expected.len(), "runs in {reply}");
        for (run, (name, least)) in runs.iter().zip(expected) {
            ensure_eq!(run.name(), name, "run");
            ensure_eq!(run.cpu, 1, "{name}: CPU");
            ensure_eq!(run.received, run.raised, "{name}: received");
            ensure!(run.raised >= least, "{name}: {} raised", run.raised);
            let route = run.route.as_ref();
            ensure!(
                route.is_some_and(|route| RTC_ROUTE.is_of(route)),
                "{name}: its route is {route:?}"
            );
        }
        power_off(session)
    })
}

/// The HPET's messages reach a CPU without an I/O APIC.
fn messages() -> Result {
    let machine = Q35.machine("x2apic", 3)?.args(["-global", "hpet.msi=on"]);
    with(&machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        drive(session, &machines::HPET_WITH_MESSAGES, 2)?;
        power_off(session)
    })
}

/// If the host is not late, every period causes an interrupt.
fn in_virtual_time() -> Result {
    let machine = Q35.machine("x2apic", 2)?.icount("shift=0,sleep=off");
    let machine = machine.args(["-rtc", "base=2020-01-01,clock=vm"]);
    with(&machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        let runs = drive(session, &machines::PIT, 1)?;
        let periodic = runs.last().ok_or("no run")?;
        let found = (periodic.raised, periodic.received);
        ensure_eq!(found, (COUNT, COUNT), "{}", periodic.name());
        power_off(session)
    })
}

/// A record of kind `source_absent`.
#[derive(Deserialize)]
struct Absent {
    source: String,
}

/// A source that the machine lacks is an error with the evidence; for all sources together, only a
/// note.
fn absent() -> Result {
    let q35 = plain().board("q35,hpet=off");
    with(&q35, |session| {
        session.wait_prompt(TIMEOUT)?;
        for (source, message) in [
            ("hpet", "HPET: this machine has none (no valid HPET table)"),
            (
                "com2",
                "COM2: this machine has none (no 16550 responds at port 0x2f8)",
            ),
            (
                "virtio",
                "virtio-mmio entropy device: this machine has none (the command line names none; \
                 add virtio_mmio.device=SIZE@ADDRESS:GSI)",
            ),
        ] {
            let reply = session.command(&format!("sources {source}"), TIMEOUT)?;
            let expected = format!("sources: {message}");
            ensure!(reply.contains(&expected), "no {expected:?} in:\n{reply}");
        }
        // A command has failed.
        power_off_failed(session)
    })?;
    // An old FADT does not mention the controller; it does not respond.
    with(&plain().board("pc,i8042=off"), |session| {
        session.wait_prompt(TIMEOUT)?;
        let reply = session.command("sources keyboard", TIMEOUT)?;
        let expected = "keyboard: this machine has none (no 8042 controller responds at port 0x64)";
        ensure!(reply.contains(expected), "no {expected:?} in:\n{reply}");
        power_off_failed(session)
    })?;
    let bare = plain().board("microvm,pit=off,rtc=off");
    with(&bare, |session| {
        session.wait_prompt(TIMEOUT)?;
        let reply = session.command("sources json", TIMEOUT)?;
        let absent: Vec<Absent> = records::all(&reply, "source_absent")?;
        let absent: Vec<_> = absent.iter().map(|it| it.source.as_str()).collect();
        let all = ["pit", "rtc", "hpet", "keyboard", "com2", "virtio"];
        ensure_eq!(absent, all, "absent sources");
        let problems: Vec<Value> = records::any(&reply, "source_problem")?;
        ensure!(problems.is_empty(), "{problems:?}");
        power_off(session)
    })
}

/// Invalid arguments, and devices that are not at the address in the command line.
fn wrong_words() -> Result {
    let machine = TWO_IO_APICS.bare();
    let machine = machine.args(["-global", "virtio-mmio.force-legacy=false"]);
    let machine = machine.append(
        "virtio_mmio.device=512@0xfeb02c00:46 virtio_mmio.device=512@0xfeb02c00 \
         virtio_mmio.device=512@0x100000:40",
    );
    with(&machine, |session| {
        let log = session.wait_prompt(TIMEOUT)?;
        let expected = "there is no : between address and GSI; \
                        SIZE@ADDRESS:GSI, such as 512@0xfeb00e00:31, is needed";
        ensure!(log.contains(expected), "no {expected:?} in the boot log");
        for (command, message) in [
            (
                "sources virtio",
                "nothing of the kind at 0xfeb02c00: no device is plugged in",
            ),
            (
                "sources toaster",
                "invalid argument `toaster` (expected pit, rtc, hpet, keyboard, com2, virtio, or a number",
            ),
            ("sources pit 10001", "expected a number from 1 to 10000"),
            ("sources pit 1 7", "CPU 7 is not online"),
            ("sources pit 1 0 0", "extra argument `0`"),
        ] {
            let reply = session.command(command, TIMEOUT)?;
            ensure!(reply.contains(message), "no {message:?} in:\n{reply}");
        }
        power_off_failed(session)
    })
}

/// Registers that would overlap the kernel image, which would make its IDT and code writable, or
/// other memory.
fn no_registers_in_memory() -> Result {
    for (address, message) in [
        ("0x200000", "0x200000 belongs to the kernel"),
        ("0x1ff000", "0x1ff000 belongs to the kernel"),
        ("0x4000000", "is mapped already, in another way"),
    ] {
        let machine = TWO_IO_APICS.bare();
        let machine = machine.append(format!("virtio_mmio.device=8K@{address}:40"));
        with(&machine, |session| {
            session.wait_prompt(TIMEOUT)?;
            let reply = session.command("sources virtio", TIMEOUT)?;
            ensure!(reply.contains(message), "no {message:?} in:\n{reply}");
            power_off_failed(session)
        })?;
    }
    Ok(())
}

/// On `pc` the HPET has only the PIT's pin: both use it in turn, and the level trigger that the
/// MADT excludes there is rejected.
fn two_at_one_pin() -> Result {
    with(&PC.machine("x2apic", 1)?, |session| {
        session.wait_prompt(TIMEOUT)?;
        for source in [&machines::PIT, &machines::HPET_OF_PC, &machines::PIT] {
            drive(session, source, 0)?;
        }
        let reply = session.command("sources hpet 1 json", TIMEOUT)?;
        for comparator in 0..3 {
            let expected = json!({
                "kind": "source_unsupported",
                "source": "hpet",
                "comparator": comparator,
                "trigger": "level",
            });
            ensure!(
                records::contain(&reply, &expected)?,
                "no {expected} in:\n{reply}"
            );
        }
        power_off(session)
    })
}
