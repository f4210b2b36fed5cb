//! Firmware errors: the kernel reports them, and runs with the remaining hardware.

mod cases;
mod field;
mod loader;
mod machines;

use std::io::Write as _;

use libtest_mimic::Trial;
use serde_json::json;
use tempfile::NamedTempFile;
use tocsin_tests::output::{self, Ready, TableRecord};
use tocsin_tests::processor::Processor;
use tocsin_tests::records;
use tocsin_tools::Session;

use crate::{Result, TIMEOUT, check_timer, ensure, ensure_eq, machine, power_off, trial, with};
use cases::{Case, cases};

/// Actual number of CPUs in QEMU, whatever the tables report.
const CPUS: u32 = 4;

pub fn trials() -> Vec<Trial> {
    let cases = cases().into_iter();
    let mut trials: Vec<_> = cases
        .map(|case| trial(format!("firmware::{}", case.name), move || boot(&case)))
        .collect();
    trials.push(trial("firmware::tables_beside_qemus_own", beside));
    trials.extend(machines::trials());
    trials.extend(loader::trials());
    trials
}

fn boot(case: &Case) -> Result {
    let (_files, machine) = case.firmware.install(machine(CPUS)?, "q35")?;
    with(&machine, |session| look(case, session))
}

fn look(case: &Case, session: &mut Session) -> Result {
    let log = session.wait_prompt(TIMEOUT)?;
    let ready = Ready::parse(&log)?;
    let cpus = (ready.online, ready.present);
    ensure_eq!(cpus, (case.online, case.present), "CPUs");
    let inputs = (ready.io_apics, ready.pins);
    ensure_eq!(inputs, case.io_apics, "I/O APICs and pins");
    check_complaints(case, &log)?;
    for (command, members) in &case.shown {
        let reply = session.command(command, TIMEOUT)?;
        ensure!(
            records::contain(&reply, members)?,
            "`{command}` prints no {members}:\n{reply}"
        );
    }

    // The CPUs that the kernel lists as online are those that are online in QEMU.
    let processors = Processor::all(session)?;
    let idt = processors[0].table("IDT")?;
    let inside = |processor: &&Processor| processor.table("IDT") == Ok(idt);
    let inside = processors.iter().filter(inside).count();
    ensure_eq!(inside, case.online as usize, "CPUs in the kernel");
    session.command("acpi", TIMEOUT)?;
    session.command("madt", TIMEOUT)?;
    check_timer(&session.command("timer json", TIMEOUT)?)?;
    power_off(session)
}

/// The log reports the errors, in the order of the case, and no others.
fn check_complaints(case: &Case, log: &str) -> Result {
    let mut found = output::of_level(log, "warning");
    found.extend(output::of_level(log, "error"));
    // Without an I/O APIC, the console has no interrupt.
    found.retain(|message| !(case.io_apics.0 == 0 && message.starts_with("console: ")));
    let all_there = found.len() == case.complaints.len()
        && found
            .iter()
            .zip(&case.complaints)
            .all(|(message, words)| message.contains(words));
    ensure!(
        all_there,
        "the kernel complains of {found:#?}, expected {:#?}",
        case.complaints
    );
    Ok(())
}

/// Tables placed before QEMU's own: a second MADT is ignored, and an unknown table is listed.
fn beside() -> Result {
    let mut body = NamedTempFile::new()?;
    body.write_all(&[0; 16])?;
    let body = body.path().display();
    let tables = ["APIC", "ZZZZ"].map(|signature| format!("sig={signature},data={body}"));
    let [second, unknown] = &tables;
    let machine = machine(CPUS)?.args(["-acpitable", second, "-acpitable", unknown]);
    with(&machine, |session| {
        let ready = Ready::parse(&session.wait_prompt(TIMEOUT)?)?;
        ensure_eq!((ready.online, ready.present), (4, 4), "CPUs");
        let reply = session.command("acpi json", TIMEOUT)?;
        let tables: Vec<TableRecord> = records::all(&reply, "acpi_table")?;
        let is_madt = |table: &&TableRecord| table.signature == "APIC";
        ensure_eq!(tables.iter().filter(is_madt).count(), 2, "MADTs in {reply}");
        let unknown = json!({ "kind": "acpi_table", "signature": "ZZZZ", "contents": null });
        ensure!(
            records::contain(&reply, &unknown)?,
            "no {unknown} in:\n{reply}"
        );
        Ok(())
    })
}
