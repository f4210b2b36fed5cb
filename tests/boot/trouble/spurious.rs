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
//!   delivers such interrupts. It records only "illegal register address", without an interrupt;
//!   the kernel then sends the error vector itself.

use std::path::PathBuf;
use std::sync::LazyLock;

use libtest_mimic::Trial;
use serde::Deserialize;
use tocsin_tests::build::debug_image;
use tocsin_tests::interrupt_records::{Delivery, Spurious};
use tocsin_tests::interrupts::vectors_by_qemu;
use tocsin_tests::output::{ApicRecord, LocalApicRecord};
use tocsin_tests::records;
use tocsin_tools::{Machine, Session};

use crate::{
    MODES, Result, TIMEOUT, ensure, ensure_eq, machine_in, power_off, power_off_with, trial, with,
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
                format!("trouble::spurious::eoi::{mode}::{profile}"),
                run,
            ));
        }
        trials.push(trial(
            format!("trouble::spurious::gates::{mode}"),
            move || with(&machine_in(mode, 2)?, gates),
        ));
        trials.push(trial(
            format!("trouble::spurious::errors::{mode}"),
            move || with(&machine_in(mode, 2)?, move |session| errors(mode, session)),
        ));
    }
    trials.push(trial("trouble::spurious::dev_runs_all", || {
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

/// The counts of a CPU, with the errors that have occurred.
fn counts(cpu: u32, session: &mut Session) -> Result<Spurious> {
    let all: Vec<Spurious> = records::all(&session.command("spurious json", TIMEOUT)?, "spurious")?;
    let counts = all.into_iter().find(|counts| counts.cpu == cpu);
    let mut counts = counts.ok_or(format!("`spurious` has no record of CPU {cpu}"))?;
    ensure_eq!(counts.apic_errors.len(), 8, "errors of the local APIC");
    counts.apic_errors.retain(|_, count| *count > 0);
    Ok(counts)
}

fn quiet(cpu: u32, unhandled: u64, eoi_mismatch: u64) -> Spurious {
    Spurious {
        cpu,
        unhandled,
        eoi_mismatch,
        ..Spurious::default()
    }
}

/// Sends an interrupt, which is delivered once.
fn send(vector: u8, cpu: u32, session: &mut Session) -> Result {
    let reply = session.command(&format!("spurious ipi {vector} {cpu} json"), TIMEOUT)?;
    let delivery: Delivery = records::one(&reply, "delivery")?;
    let count = 1;
    ensure_eq!(delivery, Delivery { cpu, vector, count }, "delivery");
    Ok(())
}

/// INT on vectors of the local APIC: without a handler, neither build sends an EOI; with one, a
/// debug build skips it.
fn eoi(dev: bool, session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for cpu in [0, 1] {
        ensure_eq!(
            counts(cpu, session)?,
            quiet(cpu, 0, 0),
            "CPU {cpu} at first"
        );
        for round in 1..=2 {
            let reply = session.command(&format!("fault {FREE} {cpu}"), TIMEOUT)?;
            ensure!(reply.contains("the kernel continues"), "{reply}");
            let logged = reply.contains(&format!(
                "interrupt: vector {FREE:#04x}: not in service, nor is another (no EOI sent"
            ));
            ensure_eq!(logged, (cpu, round) == (0, 1), "whether it is logged");
            ensure_eq!(
                counts(cpu, session)?,
                quiet(cpu, 0, round),
                "CPU {cpu}, free vector"
            );
        }
        // A real interrupt gets its EOI, so another one arrives.
        for round in 1..=2 {
            send(FREE, cpu, session)?;
            ensure_eq!(
                counts(cpu, session)?,
                quiet(cpu, round, 2),
                "CPU {cpu}, real interrupts"
            );
        }
        session.command(&format!("fault {TAKEN} {cpu}"), TIMEOUT)?;
        let left_out = 2 + u64::from(dev);
        ensure_eq!(
            counts(cpu, session)?,
            quiet(cpu, 2, left_out),
            "CPU {cpu}, taken vector"
        );
        let reply = session.command(&format!("lapic {cpu} json"), TIMEOUT)?;
        let apic: LocalApicRecord = records::one(&reply, "local_apic")?;
        // While the registers are read, the CPU may be handling the call that requested it.
        for set in [apic.irr, apic.isr] {
            ensure!(!set.contains(&0x43), "left over in {set:x?}");
        }
    }
    // Interrupts still arrive on both CPUs.
    session.command("ipi", TIMEOUT)?;
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
    session.wait_prompt(TIMEOUT)?;
    session.command("fault 0xff 1", TIMEOUT)?;
    let spurious = Spurious {
        spurious: 1,
        ..quiet(1, 0, 0)
    };
    ensure_eq!(counts(1, session)?, spurious, "after INT 0xff");
    for vector in ["0x27", "0x2f", "0x2f"] {
        session.command(&format!("fault {vector}"), TIMEOUT)?;
    }
    ensure_eq!(spurious_8259(session)?, (1, 2), "of the 8259s");

    for (sent, vector) in (1..).zip([0x27, 0x2f, 0x80, 0xff, 0xff]) {
        send(vector, 1, session)?;
        let found = counts(1, session)?;
        let found = (found.spurious, found.unhandled);
        ensure_eq!(found, (1, sent), "after {vector}");
    }
    ensure_eq!(spurious_8259(session)?, (1, 2), "of the 8259s");
    session.command("ipi", TIMEOUT)?;
    session.command("nest", TIMEOUT)?;
    let reply = session.command("spurious ipi 31", TIMEOUT)?;
    ensure!(reply.contains("invalid argument `31`"), "{reply}");
    // With the status of a failed command, because one was wrong.
    power_off_with(session, 0)
}

/// The spurious interrupts of the first and of the second 8259.
fn spurious_8259(session: &mut Session) -> Result<(u64, u64)> {
    #[derive(Deserialize)]
    struct Counts {
        first: u64,
        second: u64,
    }
    let reply = session.command("spurious json", TIMEOUT)?;
    let counts: Counts = records::one(&reply, "spurious_8259")?;
    Ok((counts.first, counts.second))
}

/// The effect of a read of a reserved register, with the log.
fn read_reserved(session: &mut Session) -> Result<(String, String)> {
    #[derive(Deserialize)]
    struct Read {
        effect: String,
    }
    let reply = session.command("spurious register json", TIMEOUT)?;
    let read: Read = records::one(&reply, "reserved_read")?;
    Ok((read.effect, reply))
}

/// An error of the local APIC is reported and counted.
fn errors(mode: &str, session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    // The error vector without an error: it must not suppress the log of a real one.
    let reply = session.command(&format!("spurious ipi {ERROR}"), TIMEOUT)?;
    ensure!(
        reply.contains("error interrupt: the ESR is empty"),
        "{reply}"
    );
    let (effect, reply) = read_reserved(session)?;
    if mode == "x2apic" {
        ensure_eq!(effect, "general_protection", "effect");
        ensure_eq!(counts(0, session)?, quiet(0, 0, 0), "counts");
        return power_off(session);
    }
    ensure!(
        reply.contains("warning: apic: 0x00000080 illegal-register-address"),
        "{reply}"
    );
    // QEMU sends no interrupt.
    ensure_eq!(effect, "recorded", "effect");
    let error = Spurious {
        apic_errors: [("illegal_register_address".to_owned(), 1)].into(),
        ..quiet(0, 0, 0)
    };
    ensure_eq!(counts(0, session)?, error, "counts");
    let reply = session.command("apic json", TIMEOUT)?;
    let apic: ApicRecord = records::one(&reply, "apic")?;
    ensure_eq!(apic.error_interrupts, 2, "error interrupts");
    power_off(session)
}

/// Interrupts in a debug build pass its checks: no EOI is missing.
fn everything(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for command in ["nest", "ipi", "timer", "nmi nest", "nmi edge 1", "storm 1"] {
        session.command(command, TIMEOUT)?;
    }
    for cpu in 0..4 {
        let found = counts(cpu, session)?;
        // `ipi` drops a line while a message to it is in flight, which may find no handler.
        let expected = quiet(cpu, found.unhandled.min(1), 0);
        ensure_eq!(found, expected, "CPU {cpu}");
    }
    power_off(session)
}
