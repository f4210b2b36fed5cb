//! The same from outside: QEMU's log of deliveries, keys pressed through QMP, bytes sent on COM2.

use libtest_mimic::Trial;
use serde_json::json;
use tocsin_tests::interrupts::{counted_by_kernel, delivered_by_qemu};
use tocsin_tests::output::LineRecord;
use tocsin_tests::records;
use tocsin_tests::sources::{SourceRun, runs};
use tocsin_tools::Session;

use super::machines::{Board, PC, Q35, TWO_IO_APICS};
use crate::{Result, TIMEOUT, ensure, ensure_eq, power_off, trial, with};

/// The vector of every source: the first of class 5 for lines.
const VECTOR: u8 = 0x50;

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<Trial> = [(Q35, 2), (PC, 1), (TWO_IO_APICS, 4)]
        .into_iter()
        .map(|(board, cpus)| {
            let name = format!("sources::as_delivered::{}", board.name);
            trial(name, move || as_delivered(board, cpus))
        })
        .collect();
    trials.push(trial("sources::keys", keys));
    trials.push(trial("sources::com2_bytes", com2_bytes));
    trials
}

/// The kernel's counts of all sources match QEMU's deliveries and the runs; the number of
/// level-triggered ones matches the I/O APICs' records.
fn as_delivered(board: Board, cpus: u32) -> Result {
    let machine = board.machine("x2apic", cpus)?;
    let machine = machine.log("int").log("trace:ioapic_set_remote_irr");
    with(&machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        let reply = session.command(&format!("sources 10 {} json", cpus - 1), TIMEOUT)?;
        let runs = runs(&reply)?;
        let table = session.command("irqs json", TIMEOUT)?;
        power_off(session)?;
        ensure!(runs.len() > 6, "runs in {reply}");
        ensure!(
            runs.iter().all(|run| run.vector == VECTOR),
            "other vectors in {reply}"
        );
        let log = session.log();
        let delivered = delivered_by_qemu(&log).remove(&VECTOR);
        let counted = counted_by_kernel(&table)?.remove(&VECTOR);
        ensure_eq!(counted, delivered, "interrupts, kernel and QEMU");
        // Some arrive before a run or between two: an empty transmitter, the probing of the PIT, an
        // edge after an unmask.
        let count = |run: &SourceRun| run.received + run.unclaimed;
        let in_runs: u64 = runs.iter().map(count).sum();
        let others = delivered.unwrap_or(0).checked_sub(in_runs);
        ensure!(
            others.is_some_and(|others| others <= runs.len() as u64),
            "{delivered:?} delivered, {in_runs} in the runs"
        );

        let is_level = |run: &&SourceRun| {
            let route = run.route.as_ref();
            route.is_some_and(|route| route.trigger == "level")
        };
        let levels: u64 = runs.iter().filter(is_level).map(count).sum();
        let noted = log.matches("ioapic_set_remote_irr").count() as u64;
        ensure_eq!(noted, levels, "levels that the I/O APICs noted");
        Ok(())
    })
}

/// Keys pressed through QMP cause interrupts, bytes and letters at the prompt.
fn keys() -> Result {
    with(&Q35.machine("x2apic", 2)?.log("int"), |session| {
        session.wait_prompt(TIMEOUT)?;
        let text = ["h", "e", "l", "p", "spc", "p", "r", "i", "o", "ret"];
        for key in text {
            for down in [true, false] {
                press(session, key, down)?;
            }
            // The keyboard buffers only 16 bytes, so the test waits for each letter.
            let shown = match key {
                "spc" => " ",
                "ret" => "\n",
                letter => letter,
            };
            session.expect(shown, TIMEOUT)?;
        }
        let reply = session.wait_prompt(TIMEOUT)?;
        ensure!(reply.contains("show priorities"), "{reply}");
        let reply = session.command("lines json", TIMEOUT)?;
        let lines: Vec<LineRecord> = records::all(&reply, "line")?;
        let line = lines.iter().find(|line| line.name == "keyboard");
        let line = line.ok_or(format!("no keyboard in:\n{reply}"))?;
        // One byte when a key is pressed, two when it is released.
        let bytes = 3 * text.len() as u64;
        let counts = [line.claimed, line.unclaimed];
        ensure_eq!(counts, [bytes, 0], "claimed and unclaimed in {line:?}");
        power_off(session)?;
        let delivered = delivered_by_qemu(&session.log());
        ensure_eq!(
            delivered.get(&line.vector),
            Some(&bytes),
            "interrupts of the keyboard that QEMU delivered"
        );
        Ok(())
    })
}

fn press(session: &Session, key: &str, down: bool) -> Result {
    let key = json!({ "type": "qcode", "data": key });
    let event = json!({ "type": "key", "data": { "down": down, "key": key } });
    session.qmp("input-send-event", &json!({ "events": [event] }))?;
    Ok(())
}

/// The bytes sent on COM2 have left it, once and in order.
fn com2_bytes() -> Result {
    let machine = super::plain().args([
        "-chardev",
        "ringbuf,id=com2,size=1024",
        "-serial",
        "chardev:com2",
    ]);
    with(&machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        session.command("sources com2 60", TIMEOUT)?;
        let read = json!({ "device": "com2", "size": 1024 });
        let bytes = session.qmp("ringbuf-read", &read)?;
        let expected: String = (1..=60_u8).map(|n| char::from(b'a' + n % 26)).collect();
        ensure_eq!(bytes.as_str(), Some(expected.as_str()), "bytes from COM2");
        power_off(session)
    })
}
