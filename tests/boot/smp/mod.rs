//! All CPUs of machines with many topologies: the kernel's output, QEMU's state, and the meaning of
//! `-smp`.

mod broadcast;
mod failures;
mod identity;
mod nmi;
mod processors;

use std::collections::BTreeSet;

use libtest_mimic::Trial;
use serde_json::{Value, json};
use tocsin_tests::controllers::{LocalApic, Shared};
use tocsin_tests::output::{
    self, ApicRecord, CpuRecord, IoApicRecord, LocalApicRecord, LvtRecord, Ready, TableRecord,
};
use tocsin_tests::shape::Shape;
use tocsin_tests::tables::{self, Table};
use tocsin_tests::topology::{self, Cpu};
use tocsin_tests::{matrix, records};
use tocsin_tools::{Outcome, Session};

use crate::{Result, check_timer, ensure, ensure_eq, machine, trial, trial_unless, with};

/// Hundreds of CPUs share the few CPUs of the host.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(480);

/// Rows of the table that is printed after booting.
const SHOWN_AT_BOOT: usize = 16;

/// ISA interrupt of COM1, on which the prompt waits.
const COM1_PIN: usize = 4;
/// ISA interrupt of the keyboard, which is also an input of the prompt.
const KEYBOARD_PIN: usize = 1;

/// Names of the entries of a local APIC's LVT: the kernel's and QEMU's.
const LVT: [(&str, &str); 6] = [
    ("timer", "LVTT"),
    ("lint0", "LVT0"),
    ("lint1", "LVT1"),
    ("error", "LVTERR"),
    ("performance", "LVTPC"),
    ("thermal", "LVTTHMR"),
];

/// Number of successive boots that must have the same result.
const BOOTS: u32 = 50;

pub fn trials() -> Vec<Trial> {
    let shapes = matrix::shapes().into_iter().map(|(shape, model)| {
        let way = shape.way();
        let missing = move || Ok(matrix::missing(way)?);
        trial_unless(missing, format!("smp::{}", shape.name()), move || {
            // QEMU logs every change of a local APIC's mode.
            let machine = shape.machine().log("trace:cpu_set_apic_base");
            with(&machine, |session| {
                look(&shape, &model.protections, session)
            })
        })
    });
    let mut trials: Vec<_> = shapes.collect();
    trials.push(trial(format!("smp::{BOOTS}_boots_in_a_row"), boots));
    trials.extend(broadcast::trials());
    trials.extend(failures::trials());
    trials.extend(identity::trials());
    trials.extend(nmi::trials());
    trials
}

fn look(shape: &Shape, protections: &[String], session: &mut Session) -> Result {
    let log = session.wait_prompt(TIMEOUT)?;
    let all = topology::cpus(&shape.cpus)?;
    let present = all.iter().filter(|cpu| cpu.present).count() as u32;
    let online = shape.online.unwrap_or(present);
    check_qemu(&all, session)?;
    let ready = Ready {
        online,
        present,
        mode: shape.mode.clone(),
        io_apics: 1,
        pins: 24,
    };
    ensure_eq!(Ready::parse(&log)?, ready, "the ready line");
    let others = online - 1;
    ensure_eq!(output::started(&log)?, (others, others), "CPUs started");
    check_complaints(shape, &log)?;

    let rows = check_table(shape, &all, online, &log, session)?;
    check_acpi(session)?;
    check_controllers(&shape.mode, session)?;
    check_local_apics(&rows, session)?;
    check_modes(&shape.mode, online, session)?;
    processors::check(&rows, protections, session)?;
    check_timer(&session.command("timer json", TIMEOUT)?)?;
    let refused = check_offline(&rows, session)?;
    // The status shows that a command was rejected.
    session.send_line("poweroff")?;
    session.expect_exit(Outcome::Kernel(refused.into()), TIMEOUT)?;
    Ok(())
}

/// The first CPU that is not online accepts no jobs. Returns whether there is one.
fn check_offline(rows: &[CpuRecord], session: &mut Session) -> Result<bool> {
    let Some(row) = rows.iter().find(|row| row.state != "online") else {
        return Ok(false);
    };
    let number = row.number;
    let reply = session.command(&format!("fault ud {number}"), TIMEOUT)?;
    let expected = format!("fault: CPU {number} is not online; `cpus` lists those that are");
    ensure!(reply.starts_with(&expected), "found {reply:?}");
    Ok(true)
}

/// QEMU created the CPUs that its `-smp` specifies.
fn check_qemu(all: &[Cpu], session: &Session) -> Result {
    let list = session.qmp("query-cpus-fast", &Value::Null)?;
    let list = list.as_array().ok_or("QEMU lists no CPUs")?;
    let mut found = Vec::new();
    for cpu in list {
        let path = json!({ "path": cpu["qom-path"], "property": "apic-id" });
        let apic_id = session.qmp("qom-get", &path)?.as_u64();
        let number = |name: &str| cpu["props"][name].as_u64().unwrap_or_default() as u32;
        let location = ["socket-id", "die-id", "core-id", "thread-id"].map(number);
        found.push((cpu["cpu-index"].as_u64(), apic_id, location));
    }
    found.sort_unstable();
    let present = all.iter().filter(|cpu| cpu.present);
    let expected = present.map(|cpu| {
        let (socket, die, core, thread) = cpu.counted;
        let number = |number: u32| Some(u64::from(number));
        let location = [socket, die, core, thread];
        (number(cpu.index), number(cpu.apic_id), location)
    });
    ensure_eq!(found, expected.collect::<Vec<_>>(), "CPUs by QMP");
    Ok(())
}

/// The log has no error, and only the warning that the shape expects.
fn check_complaints(shape: &Shape, log: &str) -> Result {
    let errors = output::of_level(log, "error");
    ensure!(errors.is_empty(), "the log has errors: {errors:?}");
    let warnings = output::of_level(log, "warning");
    match &shape.warning {
        None => ensure!(warnings.is_empty(), "the log has warnings: {warnings:?}"),
        Some(words) => ensure!(
            warnings.len() == 1 && warnings[0].contains(words),
            "the warning is to say {words:?}; there are {warnings:?}"
        ),
    }
    Ok(())
}

/// The table of CPUs, in the log and at the prompt.
fn check_table(
    shape: &Shape,
    all: &[Cpu],
    online: u32,
    log: &str,
    session: &mut Session,
) -> Result<Vec<CpuRecord>> {
    let rows = records::all::<CpuRecord>(&session.command("cpus json", TIMEOUT)?, "cpu")?;
    let count = rows.len().min(SHOWN_AT_BOOT);
    let text = session.command("cpus", TIMEOUT)?;
    for line in text.lines().take(1 + count) {
        ensure!(log.contains(line), "the log does not contain {line:?}");
    }
    let more = format!("... and {} more; `cpus` shows all", rows.len() - count);
    ensure_eq!(
        log.contains(&more),
        rows.len() > count,
        "whether the log says that there are more"
    );
    let state = |cpu: &Cpu| match cpu.present {
        false => "disabled",
        true if cpu.index < online => "online",
        true => &shape.left_out,
    };
    let expected = all.iter().map(|cpu| CpuRecord {
        number: cpu.index,
        apic_id: cpu.apic_id,
        uid: Some(cpu.index),
        state: state(cpu).to_owned(),
        location: cpu.location,
        stacks: None,
    });
    let mut shown = rows.clone();
    for row in &mut shown {
        row.stacks = None;
    }
    ensure_eq!(shown, expected.collect::<Vec<_>>(), "the table of CPUs");
    for row in &rows {
        let here = row.state == "online";
        ensure_eq!(row.stacks.is_some(), here, "stacks of CPU {}", row.number);
    }
    Ok(rows)
}

/// The listed tables are those in memory, and the MADT's records match its content there.
fn check_acpi(session: &mut Session) -> Result {
    let reply = session.command("acpi json", TIMEOUT)?;
    let problems: Vec<Value> = records::any(&reply, "acpi_problem")?;
    ensure!(problems.is_empty(), "a table is left out: {problems:?}");
    let rows: Vec<TableRecord> = records::all(&reply, "acpi_table")?;
    let found = if let Some(found) = tables::find(session)? {
        found
    } else {
        // UEFI passes the RSDP to the loader; the kernel's output for each table is valid.
        let read = rows.iter().map(|row| Table::read(session, row.address));
        read.collect::<std::result::Result<_, _>>()?
    };
    let there = found.iter().map(|table| TableRecord {
        signature: table.signature.clone(),
        address: table.address,
        length: table.bytes.len() as u64,
        revision: table.revision(),
    });
    ensure_eq!(rows, there.collect::<Vec<_>>(), "ACPI tables");
    let madt = found.iter().find(|table| table.signature == "APIC");
    let madt = madt.ok_or("there is no MADT")?;
    let reply = session.command("madt json", TIMEOUT)?;
    let head = json!({
        "kind": "madt",
        "state": "valid",
        "revision": madt.revision(),
        "length": madt.bytes.len(),
        "local_apic_address": 0xfee0_0000_u32,
        "has_8259": true,
    });
    ensure!(records::contain(&reply, &head)?, "no {head} in:\n{reply}");
    let reported: Vec<Value> = records::all(&reply, "madt_entry")?;
    ensure_eq!(
        reported,
        tables::madt_entries(&madt.bytes),
        "entries of the MADT"
    );
    Ok(())
}

/// `apic` matches QEMU's state, which has the expected values.
fn check_controllers(mode: &str, session: &mut Session) -> Result {
    let reply = session.command("apic json", TIMEOUT)?;
    let apic: ApicRecord = records::one(&reply, "apic")?;
    let expected = ApicRecord {
        mode: mode.to_owned(),
        spurious: 0,
        error_interrupts: 0,
        pic_spurious: (0, 0),
    };
    ensure_eq!(apic, expected, "mode and counts");
    let local: LocalApicRecord = records::one(&reply, "local_apic")?;
    ensure_eq!((local.cpu, local.apic_id), (0, 0), "whose local APIC");
    check_local_apic(&reply, session)?;
    let shared = Shared::of(session)?;
    let there = shared.io_apics.iter().map(|io_apic| {
        let pins = io_apic.entries.len();
        IoApicRecord {
            address: 0xfec0_0000,
            pins: pins as u32,
            masked_pins: (pins - io_apic.unmasked().len()) as u32,
        }
    });
    let reported: Vec<IoApicRecord> = records::all(&reply, "io_apic")?;
    ensure_eq!(reported, there.collect::<Vec<_>>(), "I/O APICs");
    ensure_eq!(
        shared.io_apics[0].unmasked(),
        [KEYBOARD_PIN, COM1_PIN],
        "pins in use"
    );
    let pics: Vec<_> = shared.pics.into_values().collect();
    ensure_eq!(
        pics,
        [(0xff, 0x20), (0xff, 0x28)],
        "masks and vectors of the 8259s"
    );
    Ok(())
}

/// `lapic` matches QEMU's state on CPUs near the boot CPU and far from it.
fn check_local_apics(rows: &[CpuRecord], session: &mut Session) -> Result {
    let online: Vec<_> = rows.iter().filter(|row| row.state == "online").collect();
    for index in BTreeSet::from([0, 1, online.len() / 2, online.len() - 1]) {
        let Some(row) = online.get(index) else {
            continue;
        };
        let reply = session.command(&format!("lapic {} json", row.number), TIMEOUT)?;
        let reported: LocalApicRecord = records::one(&reply, "local_apic")?;
        let whose = (reported.cpu, reported.apic_id);
        ensure_eq!(whose, (row.number, row.apic_id), "whose local APIC");
        check_local_apic(&reply, session)?;
    }
    Ok(())
}

/// The registers of the local APIC in this output are those that QEMU reports.
fn check_local_apic(reply: &str, session: &Session) -> Result {
    let reported: LocalApicRecord = records::one(reply, "local_apic")?;
    let lvt: Vec<LvtRecord> = records::all(reply, "lvt_entry")?;
    let there = LocalApic::of(session, reported.apic_id)?;
    for (ours, theirs) in LVT {
        let entry = lvt.iter().find(|entry| entry.entry == ours);
        let value = entry.map(|entry| entry.value);
        ensure_eq!(value, Some(there.register(theirs)?), "LVT entry {ours}");
    }
    let registers = (there.register("SPIV")?, there.register("TPR")?);
    ensure_eq!((reported.svr, reported.tpr), registers, "SVR and TPR");
    Ok(())
}

/// By QEMU's log of `IA32_APIC_BASE`, the local APICs of all online CPUs are in this mode.
fn check_modes(mode: &str, online: u32, session: &Session) -> Result {
    const X2APIC: u64 = 1 << 10;
    const ENABLED: u64 = 1 << 11;
    let log = session.log();
    let values = log
        .lines()
        .filter_map(|line| line.split_once("cpu_set_apic_base 0x"))
        .map(|(_, value)| u64::from_str_radix(value.trim(), 16).unwrap_or_default());
    let values: Vec<_> = values.collect();
    let is_x2apic = |value: &u64| value & (X2APIC | ENABLED) == X2APIC | ENABLED;
    let last = values.iter().rposition(is_x2apic);
    if mode == "x2apic" {
        let entered = values.iter().filter(|value| is_x2apic(value)).count();
        ensure!(
            entered >= online as usize && last == Some(values.len() - 1),
            "not all local APICs entered x2APIC mode for good: {values:x?}"
        );
    } else if let Some(last) = last {
        // Firmware had enabled it.
        let left = values[last..].iter().filter(|value| *value & ENABLED != 0);
        ensure!(
            left.count() > online as usize,
            "not all local APICs left x2APIC mode: {values:x?}"
        );
    }
    Ok(())
}

/// Successive boots, with all CPUs online in each.
fn boots() -> Result {
    let machine = machine(4)?.append("run=poweroff");
    for boot in 1..=BOOTS {
        with(&machine, |session| {
            session.expect_exit(Outcome::Kernel(0), TIMEOUT)?;
            let log = session.transcript().text_from(0);
            let ready = Ready::parse(&log)?;
            ensure_eq!((ready.online, ready.present), (4, 4), "CPUs in boot {boot}");
            ensure_eq!(output::started(&log)?, (3, 3), "CPUs started");
            Ok(())
        })?;
        if boot % 10 == 0 {
            eprintln!("{boot} of {BOOTS} boots");
        }
    }
    Ok(())
}
