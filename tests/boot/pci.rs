//! PCI devices: enumeration compared with QEMU, and interrupts by MSI, MSI-X and pin, counted at
//! both ends.

use std::collections::BTreeSet;

use libtest_mimic::Trial;
use serde::Deserialize;
use serde_json::{Value, json};
use tocsin_tests::interrupts::counted_by_both;
use tocsin_tests::records;
use tocsin_tools::{Machine, Outcome, Session};

use crate::{
    MODES, Result, SIZES, TIMEOUT, ensure, ensure_eq, machine_in, plain, power_off,
    power_off_failed, trial, with,
};

/// The devices that interrupt: `edu` by MSI and pin, virtio by MSI-X, the port by MSI with
/// per-vector masking and two messages.
const DEVICES: [&str; 3] = [
    "edu",
    "virtio-rng-pci,disable-legacy=on",
    "ioh3420,id=rootport,chassis=1,slot=1",
];

/// Number of interrupts of each kind on each target CPU.
const COUNT: u64 = 20;

/// Address, vendor and device.
type Found = (u64, u64, u64, u64, u64);

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![
        trial("pci::found::q35", || with(&machine("q35", 1)?, found)),
        trial("pci::found::pc", || with(&machine("pc", 1)?, found)),
        trial("pci::found::none", || {
            with(&plain().board("microvm"), |session| {
                session.wait_prompt(TIMEOUT)?;
                let reply = session.command("pci edu", TIMEOUT)?;
                let expected = "pci: no function 1234:11e8 (`pci` lists the functions)";
                ensure!(reply.trim_end().ends_with(expected), "{reply}");
                power_off_failed(session)
            })
        }),
    ];
    trials.push(trial("pci::shared::no_pair", || {
        with(&machine("q35", 1)?, |session| {
            session.wait_prompt(TIMEOUT)?;
            let reply = session.command("pci shared", TIMEOUT)?;
            let expected = "no two unclaimed functions 1234:11e8 with their pins at one input";
            ensure!(reply.contains(expected), "{reply}");
            power_off_failed(session)
        })
    }));
    for mode in MODES {
        trials.push(trial(format!("pci::shared::{mode}"), move || {
            let run = format!("run=\"pci shared {COUNT} 1 json; irqs json; poweroff\"");
            // Four slots apart, where the pin routing repeats.
            let edus = ["-device", "edu,addr=4", "-device", "edu,addr=8"];
            let machine = machine_in(mode, 2)?.args(edus).append(run);
            with(&machine.log("int"), shared)
        }));
        for cpus in SIZES {
            let name = format!("pci::interrupts::{mode}::smp{cpus}");
            trials.push(trial(name, move || {
                let machine = machine("q35", cpus)?.append(format!("apic={mode}"));
                with(&machine, |session| interrupts(session, cpus))
            }));
        }
        let name = format!("pci::interrupts::{mode}::as_delivered");
        trials.push(trial(name, move || {
            let run = format!(
                "apic={mode} run=\"pci edu {COUNT} 1; pci virtio {COUNT}; pci port {COUNT}; irqs json; poweroff\""
            );
            with(&machine("q35", 2)?.append(run).log("int"), as_delivered)
        }));
    }
    trials
}

fn machine(board: &str, cpus: u32) -> Result<Machine> {
    // A PCI Express port needs a PCI Express machine.
    let devices = DEVICES
        .iter()
        .filter(|device| board == "q35" || !device.starts_with("ioh"));
    let args: Vec<&str> = devices.flat_map(|device| ["-device", *device]).collect();
    Ok(crate::machine(cpus)?.board(board).args(args))
}

/// The kernel finds exactly the functions of QEMU.
fn found(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("pci json", TIMEOUT)?;
    let functions: Vec<FunctionRecord> = records::all(&reply, "pci_function")?;
    let mut by_kernel = BTreeSet::new();
    for function in functions {
        by_kernel.insert(function.found()?);
    }
    let mut by_qemu = BTreeSet::new();
    let buses = session.qmp("query-pci", &Value::Null)?;
    let buses = buses.as_array().ok_or("query-pci gives no list")?;
    let mut left: Vec<&Value> = buses.iter().flat_map(devices).collect();
    while let Some(device) = left.pop() {
        let number = |path: &str| {
            let value = device.pointer(path).and_then(Value::as_u64);
            value.ok_or(format!("no {path} in {device}"))
        };
        by_qemu.insert((
            number("/bus")?,
            number("/slot")?,
            number("/function")?,
            number("/id/vendor")?,
            number("/id/device")?,
        ));
        left.extend(device.pointer("/pci_bridge").into_iter().flat_map(devices));
    }
    ensure!(by_qemu.len() > 4, "QEMU has {by_qemu:x?}");
    ensure_eq!(by_kernel, by_qemu, "functions");
    power_off(session)
}

fn devices(bus: &Value) -> impl Iterator<Item = &Value> {
    let devices = bus.get("devices").and_then(Value::as_array);
    devices.into_iter().flatten()
}

/// A record of kind `pci_function`.
#[derive(Deserialize)]
struct FunctionRecord {
    /// The address, such as `0000:00:1f.2`.
    address: String,
    vendor: u64,
    device: u64,
}

impl FunctionRecord {
    fn found(&self) -> Result<Found> {
        let parts: Vec<_> = self.address.split([':', '.']).collect();
        let hex = |text| u64::from_str_radix(text, 16);
        let [_, bus, slot, function] = parts[..] else {
            return Err(format!("the address is {:?}", self.address).into());
        };
        let (bus, slot, function) = (hex(bus)?, hex(slot)?, hex(function)?);
        Ok((bus, slot, function, self.vendor, self.device))
    }
}

/// A record of kind `edu_run` or `message_run`.
#[derive(Debug, Deserialize)]
struct RunRecord {
    /// The kind of run of an `edu` device.
    run: Option<String>,
    sent: u64,
    received: u64,
}

impl RunRecord {
    fn is_complete(&self) -> bool {
        self.sent == COUNT && self.received == COUNT
    }
}

/// Every kind interrupts the last CPU, and the CPUs to which it can be moved.
fn interrupts(session: &mut Session, cpus: u32) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let last = cpus - 1;
    let commands = ["edu", "virtio", "port"];
    for command in commands {
        let reply = session.command(&format!("pci {command} {COUNT} {last} json"), TIMEOUT)?;
        let (kind, expected) = match command {
            "edu" => ("edu_run", 2),
            // On this CPU, and on another CPU and back, if there is one.
            _ => ("message_run", if cpus > 1 { 3 } else { 1 }),
        };
        let runs: Vec<RunRecord> = records::all(&reply, kind)?;
        let complete = runs.iter().filter(|run| run.is_complete()).count();
        ensure_eq!(complete, expected, "runs of {command} in:\n{reply}");
        let bound = json!({ "kind": "pci_binding", "cpu": last });
        ensure!(
            records::contain(&reply, &bound)?,
            "not on CPU {last}:\n{reply}"
        );
        let masked = json!({
            "kind": "masked_message",
            "pending": true,
            "received_masked": 0,
            "received_unmasked": true,
        });
        ensure!(
            command == "edu" || records::contain(&reply, &masked)?,
            "no mask in:\n{reply}"
        );
    }
    power_off(session)
}

/// Two devices at one input: each interrupt is claimed by its device, and one can be claimed by
/// both.
fn shared(session: &mut Session) -> Result {
    session.expect_exit(Outcome::Kernel(0), TIMEOUT)?;
    let text = session.transcript().text_from(0);
    let both = json!({
        "kind": "shared_run",
        "rounds": COUNT,
        "interrupts": COUNT,
        "claimed": [COUNT, COUNT],
    });
    ensure!(records::contain(&text, &both)?, "no {both} in:\n{text}");
    let runs: Vec<RunRecord> = records::all(&text, "edu_run")?;
    ensure!(runs.iter().all(RunRecord::is_complete), "found {runs:?}");
    let names: Vec<_> = runs.iter().filter_map(|run| run.run.as_deref()).collect();
    let expected = ["first_alone", "second_alone", "handler_added_and_removed"];
    ensure_eq!(names, expected, "runs of one device");
    let counted = counted_by_both(&text, &session.log())?;
    ensure_eq!(
        counted.get(&0x50),
        Some(&(4 * COUNT)),
        "interrupts of the input"
    );
    Ok(())
}

/// The kernel's count of each vector is the number that QEMU delivered.
fn as_delivered(session: &mut Session) -> Result {
    session.expect_exit(Outcome::Kernel(0), TIMEOUT)?;
    let counted = counted_by_both(&session.transcript().text_from(0), &session.log())?;
    let devices: u64 = counted.range(0x50..0x60).map(|(_, count)| count).sum();
    // edu twice with a computation each, the others three rounds and one that was masked.
    let expected: u64 = 2 * (COUNT + 1) + 2 * (3 * COUNT + 1);
    ensure_eq!(devices, expected, "interrupts of devices");
    Ok(())
}
