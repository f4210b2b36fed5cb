//! VT-d: what the IOMMU permits and blocks, compared with QEMU's records of faults; isolation, the
//! stop of the system, and machines without an IOMMU.

use libtest_mimic::Trial;
use serde::Deserialize;
use tocsin_logic::exit;
use tocsin_logic::vtd::fault::{Access, Blocked, Record};
use tocsin_tests::records;
use tocsin_tools::{Machine, Outcome, Session};

use crate::{
    MODES, Result, TIMEOUT, ensure, ensure_eq, machine_in, plain, power_off, power_off_failed,
    trial, with,
};

/// Options of QEMU's unit: with and without interrupt remapping, with caching of entries that are
/// not present, with three levels, and with scalable mode, which is not used.
const UNITS: [(&str, &str); 5] = [
    ("intremap", "intremap=on"),
    ("plain", "intremap=off"),
    ("caching", "intremap=off,caching-mode=on"),
    ("narrow", "intremap=off,aw-bits=39"),
    ("scalable", "intremap=off,aw-bits=48,x-scalable-mode=on"),
];

/// Bridges to a conventional PCI bus: from PCI Express, and from another such bus.
const BRIDGES: [(&str, &str); 2] = [
    ("express", "pcie-pci-bridge,id=b1"),
    ("conventional", "pci-bridge,id=b1,chassis_nr=2"),
];

/// The devices whose transfers are tested, and the record of QEMU's fault records.
const DEVICES: [&str; 6] = ["-device", "edu", "-device", "edu", "-trace", "vtd_frr_new"];

/// The line of QEMU's trace for a fault record.
const FAULT: &str = "vtd_frr_new index ";

pub fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for (mode, cpus) in MODES.into_iter().zip([1, 4]) {
        for (name, options) in UNITS {
            trials.push(trial(format!("iommu::dma::{name}::{mode}"), move || {
                with(&machine(mode, cpus, options)?, dma)
            }));
        }
        trials.push(trial(format!("iommu::isolation::{mode}"), move || {
            with(&machine(mode, cpus, UNITS[0].1)?, isolation)
        }));
        trials.push(trial(format!("iommu::panic::{mode}"), move || {
            let machine = machine(mode, cpus, UNITS[0].1)?;
            with(&machine.append("iommu=panic run=\"iommu test\""), stop)
        }));
    }
    for (name, device) in BRIDGES {
        trials.push(trial(format!("iommu::bridge::{name}"), move || {
            let machine = machine_in("x2apic", 2)?.args(["-machine", "kernel-irqchip=split"]);
            let machine = machine.args(["-device", "intel-iommu", "-device", device]);
            with(&machine.args(["-device", "edu,bus=b1,addr=3"]), bridge)
        }));
    }
    trials.push(trial("iommu::report", || {
        let machine = machine("x2apic", 2, UNITS[0].1)?;
        with(&machine.append("iommu=report"), report_only)
    }));
    trials.push(trial("iommu::off", || {
        let machine = machine("x2apic", 2, UNITS[0].1)?;
        with(&machine.append("iommu=off"), off)
    }));
    trials.push(trial("iommu::none", || with(&plain(), none)));
    trials
}

fn machine(mode: &str, cpus: u32, options: &str) -> Result<Machine> {
    let machine = machine_in(mode, cpus)?.args(["-machine", "kernel-irqchip=split"]);
    let unit = format!("intel-iommu,{options}");
    Ok(machine.args(["-device", &unit]).args(DEVICES))
}

/// A record of `iommu test json` or `iommu flood json`.
#[derive(Debug, Deserialize)]
struct Check {
    transfer: String,
    passed: bool,
    reason: Option<u8>,
}

/// A record of `iommu json`.
#[derive(Debug, Deserialize)]
struct Faults {
    function: String,
    count: u64,
    isolated: bool,
}

/// A mapping in the records of `iommu json`.
#[derive(Debug, Deserialize)]
struct Mapping {
    bytes: u64,
}

fn checks(session: &mut Session, command: &str) -> Result<Vec<Check>> {
    let checks: Vec<Check> = records::all(&session.command(command, TIMEOUT)?, "iommu_check")?;
    for check in &checks {
        ensure!(check.passed, "failed: {check:?} of {checks:?}");
    }
    Ok(checks)
}

/// The fault records that QEMU has written.
fn recorded(session: &Session) -> Result<Vec<Record>> {
    let log = session.log();
    let words = |line: &str| {
        let (_, rest) = line.split_once("high 0x")?;
        let (high, low) = rest.split_once(" low 0x")?;
        let number = |text: &str| u64::from_str_radix(text.trim(), 16).ok();
        // QEMU prints a record before it sets F.
        Record::decode([number(low)?, number(high)? | 1 << 63])
    };
    let lines = log.lines().filter(|line| line.starts_with(FAULT));
    let records = lines.map(|line| words(line).ok_or_else(|| format!("no record: {line}").into()));
    records.collect()
}

/// Each transfer is permitted or blocked as it must be, and the kernel reports each fault that the
/// unit records, once.
fn dma(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for run in 1..=2 {
        let begin = recorded(session)?.len();
        let checks = checks(session, "iommu test json")?;
        ensure_eq!(checks.len(), 8, "transfers");
        let found = recorded(session)?;
        let found = &found[begin..];
        let reasons: Vec<_> = checks.iter().filter_map(|check| check.reason).collect();
        let recorded: Vec<_> = found.iter().map(|record| record.reason.0).collect();
        ensure_eq!(reasons, recorded, "reasons of the faults, in run {run}");
        for record in found {
            let is_right = match record.blocked {
                Blocked::Dma { access, .. } => {
                    // 5 is a write without permission, and 6 a read.
                    (record.reason.0 == 5) == (access == Access::Write)
                }
                Blocked::Interrupt { .. } => false,
            };
            ensure!(is_right, "a fault of another kind: {record:?}");
        }
        let output = session.command("iommu json", TIMEOUT)?;
        let faults: Vec<Faults> = records::all(&output, "iommu_faults")?;
        let [of_device] = &faults[..] else {
            return Err(format!("faults of one function are expected: {faults:?}").into());
        };
        ensure_eq!(of_device.count, run * 7, "faults of {}", of_device.function);
        // All buffers have been dropped.
        let mappings: Vec<Mapping> = records::all(&output, "iommu_mapping")?;
        let bytes: u64 = mappings.iter().map(|it| it.bytes).sum();
        ensure_eq!(bytes, 0, "bytes that functions can access");
    }
    power_off(session)
}

/// A function that makes many faults loses its access to the bus, and works again for its next
/// driver.
fn isolation(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let checks = checks(session, "iommu flood json")?;
    let names: Vec<_> = checks.iter().map(|check| check.transfer.as_str()).collect();
    ensure_eq!(names.len(), 3, "transfers: {names:?}");
    let output = session.command("iommu json", TIMEOUT)?;
    let faults: Vec<Faults> = records::all(&output, "iommu_faults")?;
    ensure!(
        faults.len() == 1 && faults[0].isolated && faults[0].count == 16,
        "{faults:?}"
    );
    let printed = session.transcript().text_from(0);
    let reports = printed.matches("error: iommu: unit 0: ").count();
    ensure!((1..16).contains(&reports), "{reports} reports of 16 faults");
    let isolated = printed.matches("isolated after 16 faults").count();
    ensure_eq!(isolated, 1, "reports of the isolation");

    // The next driver's faults are counted anew.
    self::checks(session, "iommu flood json")?;
    let output = session.command("iommu json", TIMEOUT)?;
    let faults: Vec<Faults> = records::all(&output, "iommu_faults")?;
    ensure!(
        faults.len() == 1 && faults[0].isolated && faults[0].count == 32,
        "{faults:?}"
    );
    power_off(session)
}

/// A bridge replaces the source ID of a function behind it.
fn bridge(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    checks(session, "iommu test json")?;
    checks(session, "iommu flood json")?;
    power_off(session)
}

/// The first fault stops the system with the parameters of bug check 0xE6.
fn stop(session: &mut Session) -> Result {
    session.expect("stop code 0xE6, DRIVER_VERIFIER_DMA_VIOLATION", TIMEOUT)?;
    session.expect_exit(Outcome::Kernel(exit::STOPPED), TIMEOUT)?;
    ensure_eq!(recorded(session)?.len(), 1, "faults that QEMU recorded");
    Ok(())
}

/// Without isolation, the function makes requests as long as it wants.
fn report_only(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for _ in 0..3 {
        checks(session, "iommu test json")?;
    }
    let output = session.command("iommu json", TIMEOUT)?;
    let faults: Vec<Faults> = records::all(&output, "iommu_faults")?;
    ensure!(
        faults.len() == 1 && !faults[0].isolated && faults[0].count == 21,
        "{faults:?}"
    );
    power_off(session)
}

/// With `iommu=off`, the unit is not enabled, and a driver without `unsafe` gets no memory.
fn off(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("iommu test", TIMEOUT)?;
    ensure!(reply.contains("no IOMMU restricts the device"), "{reply}");
    let reply = session.command("iommu json", TIMEOUT)?;
    ensure!(reply.contains("\"enabled\":false"), "{reply}");
    power_off_failed(session)
}

fn none(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("iommu", TIMEOUT)?;
    ensure!(
        reply.contains("no IOMMU: devices can access all memory"),
        "{reply}"
    );
    power_off(session)
}
