//! Spurious and unhandled interrupts: counted, reported once, never fatal, and never acknowledged
//! with the EOI of another interrupt.
//!
//! A debug build checks every EOI, so these tests also boot one, which the first of them builds.
//!
//! QEMU's local APIC and 8259s cannot generate the following under TCG, so the tests do not use
//! real ones:
//!
//! - a spurious interrupt of the local APIC or an 8259, which needs a request that is withdrawn
//!   between the CPU's acceptance and its acknowledgement: QEMU does both in one step. INT enters
//!   their gates instead.
//! - the errors "send illegal vector", "receive illegal vector" and "redirectable IPI": QEMU
//!   delivers such interrupts. It records only "illegal register address", without an interrupt; the
//!   kernel then sends the error vector itself.

use std::path::PathBuf;
use std::sync::LazyLock;

use libtest_mimic::Trial;
use tocsin_tests::answers::{ApicRecord, LocalApicRecord};
use tocsin_tests::build::debug_image;
use tocsin_tests::interrupts::vectors_by_qemu;
use tocsin_tests::records;
use tocsin_tools::{Machine, Session};

use crate::{
    MODES, PATIENCE, Result, ensure, ensure_eq, machine_in, power_off, power_off_with, trial, with,
};

/// A vector without a handler, and one with a handler (that of calls).
const FREE: u8 = 0x43;
const TAKEN: u8 = 0xd0;

/// The vector of local APIC errors.
const ERROR: u8 = 0xfe;

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for mode in MODES {
        for (profile, dev) in [("release", false), ("dev", true)] {
            let run = move || {
                let machine = machine_in(mode, 2)?.log("int");
                let machine = built(machine.log("trace:apic_register_write"), dev)?;
                with(&machine, |session| eoi(dev, session))
            };
            trials.push(trial(
                format!("trouble::stray::eoi::{mode}::{profile}"),
                run,
            ));
        }
        trials.push(trial(format!("trouble::stray::gates::{mode}"), move || {
            with(&machine_in(mode, 2)?, gates)
        }));
        trials.push(trial(
            format!("trouble::stray::errors::{mode}"),
            move || with(&machine_in(mode, 2)?, move |session| errors(mode, session)),
        ));
    }
    trials.push(trial("trouble::stray::dev_goes_through_all", || {
        with(&built(machine_in("x2apic", 4)?, true)?, everything)
    }));
    trials
}

/// The machine with a debug build of the kernel, or with the default build.
pub fn built(machine: Machine, dev: bool) -> Result<Machine> {
    static IMAGE: LazyLock<std::result::Result<PathBuf, String>> = LazyLock::new(debug_image);
    if !dev {
        return Ok(machine);
    }
    Ok(machine.image(IMAGE.as_ref().map_err(Clone::clone)?))
}

/// A CPU's row of `stray`.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    spurious: u64,
    no_handler: u64,
    left_out: u64,
    errors: String,
}

fn row(cpu: u32, session: &mut Session) -> Result<Row> {
    let answer = session.command("stray", PATIENCE)?;
    for line in answer.lines().skip(1) {
        let words: Vec<_> = line.split_whitespace().collect();
        if words.first() != Some(&cpu.to_string().as_str()) || words.len() < 5 {
            continue;
        }
        return Ok(Row {
            spurious: words[1].parse()?,
            no_handler: words[2].parse()?,
            left_out: words[3].parse()?,
            errors: words[4..].join(" "),
        });
    }
    Err(format!("`stray` has no row for CPU {cpu}:\n{answer}").into())
}

fn quiet(no_handler: u64, left_out: u64) -> Row {
    Row {
        spurious: 0,
        no_handler,
        left_out,
        errors: "none".to_owned(),
    }
}

/// INT on vectors of the local APIC: without a handler, neither build sends an EOI; with one, a
/// debug build skips it.
fn eoi(dev: bool, session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    for cpu in [0, 1] {
        ensure_eq!(row(cpu, session)?, quiet(0, 0), "CPU {cpu} at first");
        for round in 1..=2 {
            let answer = session.command(&format!("fault {FREE} {cpu}"), PATIENCE)?;
            ensure!(answer.contains("the kernel goes on"), "{answer}");
            let logged = answer.contains(&format!(
                "vector {FREE:#04x} is to be ended, but nothing is in service: no EOI"
            ));
            ensure_eq!(logged, (cpu, round) == (0, 1), "whether it is logged");
            ensure_eq!(
                row(cpu, session)?,
                quiet(0, round),
                "CPU {cpu}, free vector"
            );
        }
        // A real interrupt gets its EOI, so another one arrives.
        for round in 1..=2 {
            let answer = session.command(&format!("stray ipi {FREE} {cpu}"), PATIENCE)?;
            let came = format!("Vector {FREE:#04x} came to CPU {cpu} 1 times.");
            ensure!(answer.contains(&came), "no {came:?} in {answer}");
            ensure_eq!(
                row(cpu, session)?,
                quiet(round, 2),
                "CPU {cpu}, real interrupts"
            );
        }
        session.command(&format!("fault {TAKEN} {cpu}"), PATIENCE)?;
        let left_out = 2 + u64::from(dev);
        ensure_eq!(
            row(cpu, session)?,
            quiet(2, left_out),
            "CPU {cpu}, taken vector"
        );
        let answer = session.command(&format!("lapic {cpu} json"), PATIENCE)?;
        let apic: LocalApicRecord = records::one(&answer, "local_apic")?;
        // While the registers are read, the CPU may be handling the call that requested it.
        for set in [apic.irr, apic.isr] {
            ensure!(!set.contains(&0x43), "left over in {set:x?}");
        }
    }
    // Interrupts still arrive on both CPUs.
    session.command("ipi", PATIENCE)?;
    power_off(session)?;
    // One EOI for each interrupt that QEMU delivered, and no other; but a release build does not
    // check INT on a vector with a handler.
    let log = session.log();
    // The firmware's interrupts come from the 8259s.
    let delivered = vectors_by_qemu(&log).filter(|&vector| vector >= 0x20);
    let delivered = delivered.count();
    let ended = log.matches("apic_register_write register 0x0b = ").count();
    let unseen = if dev { 0 } else { 2 };
    ensure_eq!(ended, delivered + unseen, "EOIs by QEMU's trace");
    Ok(())
}

/// The gates without an EOI: entered by INT, each increments its own count; interrupts delivered by
/// the local APIC get an EOI, so that they do not block others.
fn gates(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    session.command("fault 0xff 1", PATIENCE)?;
    let spurious = Row {
        spurious: 1,
        ..quiet(0, 0)
    };
    ensure_eq!(row(1, session)?, spurious, "after INT 0xff");
    for vector in ["0x27", "0x2f", "0x2f"] {
        session.command(&format!("fault {vector}"), PATIENCE)?;
    }
    let answer = session.command("stray", PATIENCE)?;
    let ghosts = "8259 ghosts: 1 of the first, 2 of the second";
    ensure!(answer.contains(ghosts), "no {ghosts:?} in:\n{answer}");

    for (sent, vector) in (1..).zip(["0x27", "0x2f", "0x80", "0xff", "0xff"]) {
        let answer = session.command(&format!("stray ipi {vector} 1"), PATIENCE)?;
        let came = format!("Vector {vector} came to CPU 1 1 times.");
        ensure!(answer.contains(&came), "no {came:?} in:\n{answer}");
        let row = row(1, session)?;
        ensure_eq!((row.spurious, row.no_handler), (1, sent), "after {vector}");
    }
    let answer = session.command("stray", PATIENCE)?;
    ensure!(answer.contains(ghosts), "no {ghosts:?} in:\n{answer}");
    session.command("ipi", PATIENCE)?;
    session.command("nest", PATIENCE)?;
    let answer = session.command("stray ipi 31", PATIENCE)?;
    ensure!(answer.contains("`31` will not do"), "{answer}");
    // With the status of a failed command, because one was wrong.
    power_off_with(session, 0)
}

/// An error of the local APIC is reported and counted.
fn errors(mode: &str, session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    // The error vector without an error: it must not suppress the log of a real one.
    let answer = session.command(&format!("stray ipi {ERROR}"), PATIENCE)?;
    ensure!(
        answer.contains("error interrupt, but the ESR is empty"),
        "{answer}"
    );
    let answer = session.command("stray register", PATIENCE)?;
    if mode == "x2apic" {
        ensure!(
            answer.contains("In x2APIC mode this would be #GP"),
            "{answer}"
        );
        ensure_eq!(row(0, session)?, quiet(0, 0), "row");
        return power_off(session);
    }
    ensure!(
        answer.contains("warning: local APIC: 0x00000080 illegal-register-address"),
        "{answer}"
    );
    let error = Row {
        errors: "illegal-register-address: 1".to_owned(),
        ..quiet(0, 0)
    };
    ensure_eq!(row(0, session)?, error, "row");
    let answer = session.command("apic json", PATIENCE)?;
    let apic: ApicRecord = records::one(&answer, "apic")?;
    ensure_eq!(apic.error_interrupts, 2, "error interrupts");
    power_off(session)
}

/// Interrupts in a debug build pass its checks: no EOI is missing.
fn everything(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    for command in ["nest", "ipi", "timer", "nmi nest", "nmi edge 1", "storm 1"] {
        session.command(command, PATIENCE)?;
    }
    for cpu in 0..4 {
        let row = row(cpu, session)?;
        // `ipi` drops a line while a message to it is in flight, which may find no handler.
        let expected = quiet(row.no_handler.min(1), 0);
        ensure_eq!(row, expected, "CPU {cpu}");
    }
    power_off(session)
}
