//! The longest section with interrupts masked: deliberately long sections are found, on every CPU,
//! with the name of their function.

use libtest_mimic::Trial;
use serde::Deserialize;
use tocsin_tests::interrupt_records::CodeAddress;
use tocsin_tests::records;
use tocsin_tools::Session;

use super::spurious::built;
use crate::{Result, TIMEOUT, ensure, ensure_eq, machine_in, power_off_with, trial, with};

const CPUS: u32 = 4;

/// Duration of a deliberate section, in nanoseconds; the kernel's constant.
const HOLD: u64 = 400_000_000;

pub fn trials() -> Vec<Trial> {
    let cells = [false, true].map(|dev| {
        let profile = if dev { "dev" } else { "release" };
        trial(format!("trouble::sections::{profile}"), move || {
            with(&built(machine_in("x2apic", CPUS)?, dev)?, find)
        })
    });
    cells.into()
}

/// A record of `prio json`, of kind `irqs_off_section`.
#[derive(Debug, Deserialize)]
struct Section {
    cpu: u32,
    masked_by: String,
    duration_ns: u64,
    end: CodeAddress,
}

impl Section {
    fn is_in(&self, function: &str) -> bool {
        self.end
            .is_in(&format!("tocsin_monitor::commands::sections::{function}"))
    }
}

fn sections(session: &mut Session) -> Result<Vec<Section>> {
    let reply = session.command("prio json", TIMEOUT)?;
    Ok(records::any(&reply, "irqs_off_section")?)
}

/// The kinds of deliberate sections: the argument of `prio hold`, the mask, and the function.
const KINDS: [(&str, &str, &str); 4] = [
    ("lock", "if", "hold_lock"),
    ("interrupts", "if", "hold_interrupts"),
    ("priority", "cr8", "hold_priority"),
    ("ceiling", "cr8", "hold_ceiling"),
];

fn find(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let found = sections(session)?;
    ensure!(found.is_empty(), "found before asked: {found:x?}");
    for (what, masked_by, function) in KINDS {
        session.command("prio watch on", TIMEOUT)?;
        session.command(&format!("prio hold {what}"), TIMEOUT)?;
        let (found, others): (Vec<_>, Vec<_>) = sections(session)?
            .into_iter()
            .partition(|section| section.masked_by == masked_by);
        for cpu in 0..CPUS {
            let section = found.iter().find(|section| section.cpu == cpu);
            let section = section.ok_or(format!("{what}: CPU {cpu} is not in {found:x?}"))?;
            ensure!(
                section.duration_ns >= HOLD && section.is_in(function),
                "{what}: {section:x?}"
            );
        }
        // The other mask has no section of this name.
        for (_, _, function) in KINDS {
            let has_section = others.iter().any(|section| section.is_in(function));
            ensure!(!has_section, "{what}: {others:x?}");
        }
    }
    // While the measurement is off, no new section is recorded, and the old ones are kept.
    session.command("prio watch off", TIMEOUT)?;
    session.command("prio hold priority", TIMEOUT)?;
    let found = sections(session)?;
    let count = |function| found.iter().filter(|it| it.is_in(function)).count();
    ensure_eq!(count("hold_priority"), 0, "sections that were recorded");
    ensure_eq!(count("hold_ceiling"), CPUS as usize, "old sections");
    let reply = session.command("prio watch maybe", TIMEOUT)?;
    ensure!(reply.contains("invalid argument `maybe`"), "{reply}");
    power_off_with(session, 0)
}
