//! The timer in TSC-deadline mode, which QEMU does not emulate.

use libtest_mimic::Trial;
use tocsin_tests::answers;

use super::{CPUS, said, trial};
use crate::timers::{LATENCY, check_test};
use crate::{MODES, Result, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    let trials = MODES.map(|mode| {
        trial(format!("timers::deadline::{mode}"), move || {
            let said = said(mode, "timer; timers test; timers wait 10")?;
            check(mode, &said).map_err(|e| format!("{e}\n--- COM1\n{said}").into())
        })
    });
    trials.into()
}

fn check(mode: &str, said: &str) -> Result {
    ensure!(said.contains(&format!("apic: {mode}: ")), "not in {mode}");
    ensure!(
        said.contains("TSC-deadline mode: yes"),
        "there is no TSC-deadline mode"
    );
    let names = [("one-shot", 1), ("periodic", 10), ("deadline", 1)];
    let counts = names.map(|(name, count)| (name.to_owned(), count, count));
    ensure_eq!(answers::timer_counts(said), counts, "timer interrupts");
    check_test(said, CPUS)?;
    let (_, wait) = said
        .split_once("Fired 10 ms after it was started, ")
        .unwrap_or_default();
    let (late, rest) = wait.split_once(" TSC cycles late").unwrap_or_default();
    // Under Bochs, too, a cycle is an instruction.
    let late: u64 = late.parse()?;
    ensure!((1..=LATENCY).contains(&late), "{late} cycles late");
    ensure!(
        rest.starts_with(", at interrupt 1 of"),
        "a deadline takes one interrupt"
    );
    Ok(())
}
