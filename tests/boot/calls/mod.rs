//! Calls between CPUs, and the functions based on them.

pub mod kinds;
mod outside;
pub mod tlb;

use libtest_mimic::Trial;
use tocsin_tools::Session;

use crate::{MODES, Result, SIZES, TIMEOUT, machine_in, power_off, trial, with};

pub fn trials() -> Vec<Trial> {
    let mut trials = kinds::trials();
    trials.extend(outside::trials());
    trials.extend(tlb::trials());
    trials
}

/// A test on machines of all sizes, in both modes of the local APIC.
fn everywhere(name: &str, test: fn(&mut Session, u64) -> Result) -> Vec<Trial> {
    let mut trials = Vec::new();
    for mode in MODES {
        for cpus in SIZES {
            let name = format!("calls::{name}::{mode}::smp{cpus}");
            trials.push(trial(name, move || {
                with(&machine_in(mode, cpus)?, |session| {
                    session.wait_prompt(TIMEOUT)?;
                    test(session, u64::from(cpus))?;
                    power_off(session)
                })
            }));
        }
    }
    trials
}
