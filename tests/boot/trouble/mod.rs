//! What must not happen and does: NMIs that meet, CPUs that panic together, interrupts that
//! nobody sent, and sections that hold interrupts back for long.

mod ending;
mod nmi;
mod stray;
mod stretch;

use libtest_mimic::Trial;
use tocsin_tools::settings::Smp;
use tocsin_tools::{Machine, Outcome, Session};

use crate::{PATIENCE, Result, plain};

pub fn trials() -> Vec<Trial> {
    let mut trials = nmi::trials();
    trials.extend(ending::trials());
    trials.extend(stray::trials());
    trials.extend(stretch::trials());
    trials
}

/// The modes of the local APIC, as `apic=` names them.
const MODES: [&str; 2] = ["x2apic", "xapic"];

fn machine(cpus: u32, mode: &str) -> Result<Machine> {
    let machine = plain().smp(Smp::parse(&cpus.to_string())?);
    Ok(machine.append(format!("apic={mode}")))
}

fn power_off(session: &mut Session) -> Result {
    session.send_line("poweroff")?;
    session.expect_exit(Outcome::Kernel(0), PATIENCE)?;
    Ok(())
}
