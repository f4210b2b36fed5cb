//! CPUs whose ID in CPUID differs from that of their local APIC, and CPUs that start late.

use libtest_mimic::Trial;
use tocsin_tests::output::{self, CpuRecord, LocalApicRecord, Ready};
use tocsin_tests::processor::Processor;
use tocsin_tests::records;
use tocsin_tools::Session;
use tocsin_tools::settings::Smp;

use super::TIMEOUT;
use crate::{Result, ensure, ensure_eq, machine, plain, power_off, power_off_failed, trial, with};

/// Two sockets whose IDs are 256 apart. Two CPUs are in the first one.
const SOCKETS: &str = "2,sockets=2,cores=129,threads=1,maxcpus=258";

/// Without leaf 0BH, CPUID has 8 bits for the ID.
const MODEL: &str = "max,cpuid-0xb=off";

/// Arguments of QEMU: remapping, which IDs above 255 need, and a CPU in the second socket.
const REMAPPING: [&str; 2] = ["-device", "intel-iommu,intremap=on,eim=on"];
const SECOND_SOCKET: &str = "max-x86_64-cpu,cpuid-0xb=off,socket-id=1,die-id=0,thread-id=0";

/// The late CPU, and the stages at which it can be late, each with the stage reached before.
const LATE: u32 = 2;
const STAGES: [(&str, &str); 4] = [
    ("long", "protected mode"),
    ("kernel", "long mode"),
    ("tables", "kernel code"),
    ("apic", "descriptor tables"),
];

pub fn trials() -> Vec<Trial> {
    let mut trials = vec![trial("smp::cpuid_has_a_part_of_the_apic_id", || {
        // The cores' IDs are 257 and 258: CPUID reports 1, which is another CPU's, and 2, which is
        // unused.
        let cores = [1, 2].map(|core| format!("{SECOND_SOCKET},core-id={core}"));
        let machine = plain()
            .board("q35,kernel-irqchip=split")
            .cpu(MODEL)
            .smp(Smp::parse(SOCKETS)?)
            .args(REMAPPING)
            .args(cores.iter().flat_map(|device| ["-device", device]));
        with(&machine, same_low_bits)
    })];
    trials.extend(STAGES.map(|(stage, before)| {
        trial(format!("smp::late_for_{stage}"), move || {
            let append = format!("latecpu={LATE}@{stage}");
            with(&machine(4)?.append(append), |session| late(before, session))
        })
    }));
    trials
}

/// All CPUs come online, each with its own per-CPU block and stacks.
fn same_low_bits(session: &mut Session) -> Result {
    let log = session.wait_prompt(TIMEOUT)?;
    let ready = Ready::parse(&log)?;
    ensure_eq!((ready.online, ready.present), (4, 4), "CPUs");
    let errors = output::of_level(&log, "error");
    ensure!(errors.is_empty(), "the log has errors: {errors:?}");
    let rows = records::all::<CpuRecord>(&session.command("cpus json", TIMEOUT)?, "cpu")?;
    let ids: Vec<_> = rows.iter().take(4).map(|row| row.apic_id).collect();
    ensure_eq!(ids, [0, 1, 257, 258], "APIC IDs");
    for (number, row) in (0..).zip(&rows[..4]) {
        let reply = session.command(&format!("lapic {number} json"), TIMEOUT)?;
        let apic: LocalApicRecord = records::one(&reply, "local_apic")?;
        ensure_eq!(
            (apic.cpu, apic.apic_id),
            (number, row.apic_id),
            "its local APIC"
        );
    }
    let processors = Processor::all(session)?;
    for (row, processor) in rows.iter().zip(&processors).skip(1) {
        let stacks = row.stacks.clone().ok_or("the table shows no stacks")?;
        let rsp = processor.register("RSP")?;
        ensure!(
            stacks.contains(&rsp),
            "CPU {} runs on {rsp:#x}, and its stacks are {stacks:x?}",
            row.number
        );
    }
    session.command("ipi", TIMEOUT)?;
    power_off(session)
}

/// A CPU that continues after it has been abandoned halts, takes no part in calls to all CPUs, and
/// its state in the table does not change.
fn late(before: &str, session: &mut Session) -> Result {
    let log = session.wait_prompt(TIMEOUT)?;
    let ready = Ready::parse(&log)?;
    ensure_eq!((ready.online, ready.present), (3, 4), "CPUs");
    let error = format!("smp: CPU {LATE} (APIC ID 0x02) did not start; last seen: {before}");
    ensure_eq!(output::of_level(&log, "error"), [error], "errors");
    session.command("ipi", TIMEOUT)?;
    let reply = session.command(&format!("fault bp {LATE}"), TIMEOUT)?;
    let offline = format!("fault: CPU {LATE} is not online");
    ensure!(reply.starts_with(&offline), "found {reply:?}");

    let late = &Processor::all(session)?[LATE as usize];
    ensure!(late.halted, "it runs: {late:x?}");
    ensure!(!late.takes_interrupts()?, "it would wake up: {late:x?}");
    let rows = records::all::<CpuRecord>(&session.command("cpus json", TIMEOUT)?, "cpu")?;
    ensure_eq!(
        rows[LATE as usize].state,
        format!("dead: {before}"),
        "its state"
    );
    power_off_failed(session)
}
