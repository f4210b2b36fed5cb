//! CPUs that call each other, and what is built on it.

mod kinds;
mod outside;
mod tlb;

use libtest_mimic::Trial;
use tocsin_tools::settings::Smp;
use tocsin_tools::{Machine, Outcome, Session};

use crate::{PATIENCE, Result, plain, trial, with};

/// Numbers of CPUs that everything is tried with.
const CPUS: [u32; 5] = [1, 2, 4, 8, 32];

pub fn trials() -> Vec<Trial> {
    let mut trials = kinds::trials();
    trials.extend(outside::trials());
    trials.extend(tlb::trials());
    trials
}

/// A test on machines of all sizes, in both modes of the local APIC.
fn everywhere(name: &str, test: fn(&mut Session, u64) -> Result) -> Vec<Trial> {
    let mut trials = Vec::new();
    for mode in ["x2apic", "xapic"] {
        for cpus in CPUS {
            let name = format!("calls::{name}::{mode}::smp{cpus}");
            trials.push(trial(name, move || {
                with(&machine(cpus, mode)?, |session| {
                    session.wait_prompt(PATIENCE)?;
                    test(session, u64::from(cpus))?;
                    power_off(session)
                })
            }));
        }
    }
    trials
}

fn machine(cpus: u32, mode: &str) -> Result<Machine> {
    let cpus = Smp::parse(&cpus.to_string())?;
    Ok(plain().smp(cpus).append(format!("apic={mode}")))
}

fn power_off(session: &mut Session) -> Result {
    session.send_line("poweroff 0")?;
    session.expect_exit(Outcome::Kernel(0), PATIENCE)?;
    Ok(())
}
