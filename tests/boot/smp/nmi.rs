//! NMIs reach only the CPUs whose pin the MADT lists.
//!
//! QEMU's `nmi` command pulses LINT1 of every CPU: its documentation calls this an NMI on all CPUs,
//! but the LVT entry decides.

use std::collections::BTreeSet;

use libtest_mimic::Trial;
use tocsin_tests::controllers::LocalApic;
use tocsin_tests::firmware::{Firmware, entry, madt};
use tocsin_tests::qemu_log;
use tocsin_tests::report::Report;
use tocsin_tools::Session;

use super::TIMEOUT;
use crate::{Result, ensure, ensure_eq, machine, power_off, trial, with};

const CPUS: u8 = 4;

/// NMI entries of a MADT: UID and pin; and the CPUs whose LINT1 then delivers an NMI. LINT0 never
/// does.
struct Case {
    name: &'static str,
    entries: &'static [(u8, u8)],
    lint1: &'static [u32],
}

/// UIDs start at 10 here, so that they differ from CPU numbers.
const CASES: &[Case] = &[
    Case {
        name: "of_none",
        entries: &[],
        lint1: &[],
    },
    Case {
        name: "of_one",
        entries: &[(12, 1)],
        lint1: &[2],
    },
    Case {
        name: "of_two_with_the_boot_cpu",
        entries: &[(10, 1), (13, 1)],
        lint1: &[0, 3],
    },
    Case {
        // LINT0 is the 8259s' input.
        name: "of_one_beside_lint0",
        entries: &[(11, 0), (12, 1)],
        lint1: &[2],
    },
];

pub fn trials() -> Vec<Trial> {
    let mut trials: Vec<_> = CASES
        .iter()
        .map(|case| trial(format!("nmi::{}", case.name), move || boot(case)))
        .collect();
    // With many CPUs, each waits long before it can report.
    trials.extend([CPUS, 64].map(|cpus| {
        trial(format!("nmi::of_all_{cpus}"), move || {
            with(&machine(cpus.into())?.log("int"), |session| {
                session.wait_prompt(TIMEOUT)?;
                let all: Vec<_> = (0..u32::from(cpus)).collect();
                inject(&all, session)
            })
        })
    }));
    trials
}

fn boot(case: &Case) -> Result {
    let mut entries: Vec<_> = (0..CPUS).map(|id| entry::local_apic(10 + id, id)).collect();
    entries.push(entry::io_apic(0, 0xfec0_0000, 0));
    let nmis = case
        .entries
        .iter()
        .map(|&(uid, lint)| entry::nmi(uid, lint));
    entries.extend(nmis);
    let firmware = Firmware::new().table(madt(&entries));
    let (_files, machine) = firmware.install(machine(CPUS.into())?.log("int"), "q35")?;
    with(&machine, |session| {
        session.wait_prompt(TIMEOUT)?;
        for cpu in 0..u32::from(CPUS) {
            let apic = LocalApic::of(session, cpu)?;
            for (pin, targets) in [("LVT0", &[][..]), ("LVT1", case.lint1)] {
                let expected = targets.contains(&cpu);
                ensure_eq!(apic.delivers_nmi(pin)?, expected, "CPU {cpu}, {pin}");
            }
        }
        inject(case.lint1, session)
    })
}

/// Injects an NMI; the kernel reports it on these CPUs only, and continues.
fn inject(targets: &[u32], session: &mut Session) -> Result {
    let before = session.transcript().bytes().len();
    session.hmp("nmi")?;
    for _ in targets {
        session.expect("  backtrace\r\n", TIMEOUT)?;
    }
    session.send_line("")?;
    session.wait_prompt(TIMEOUT)?;
    // The other CPUs had as much time as this takes; QEMU delivered the NMI before `nmi` returned.
    session.command("cpus", TIMEOUT)?;
    let log = qemu_log::deliveries(&session.log());
    let delivered = log.iter().filter(|delivery| delivery.vector == 2).count();
    ensure_eq!(delivered, targets.len(), "NMIs by QEMU's log");

    let output = session.transcript().text_from(before);
    let mut reports = BTreeSet::new();
    let starts = output.match_indices("#### CPU ").map(|(at, _)| at);
    for start in starts {
        let report = Report::parse(&output[start..])?;
        ensure_eq!(report.title, "NMI non-maskable interrupt", "title");
        ensure!(!report.stopped, "CPU {} stopped", report.cpu);
        ensure!(!report.backtrace.is_empty(), "there is no backtrace");
        for register in ["rax", "r15", "rip", "cr0", "cr4"] {
            report.register(register)?;
        }
        reports.insert(report.cpu);
    }
    let expected: BTreeSet<_> = targets.iter().copied().collect();
    ensure_eq!(reports, expected, "CPUs that reported");
    power_off(session)
}
