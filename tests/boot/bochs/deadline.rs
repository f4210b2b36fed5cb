//! The timer in TSC-deadline mode, which QEMU does not emulate.

use libtest_mimic::Trial;
use serde_json::json;
use tocsin_tests::records;

use super::{CPUS, boot_output, trial};
use crate::timers::{LATENCY, Wait, check_test};
use crate::{MODES, Result, check_timer_modes, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    let trials = MODES.map(|mode| {
        trial(format!("timers::deadline::{mode}"), move || {
            let output = boot_output(mode, "timer json; timers test json; timers wait 10 json")?;
            check(mode, &output).map_err(|e| format!("{e}\n--- COM1\n{output}").into())
        })
    });
    trials.into()
}

fn check(mode: &str, output: &str) -> Result {
    ensure!(output.contains(&format!("apic: {mode}: ")), "not in {mode}");
    let timer = json!({ "kind": "local_apic_timer", "has_deadline": true });
    ensure!(
        records::contain(output, &timer)?,
        "there is no TSC-deadline mode"
    );
    check_timer_modes(
        output,
        &[("one_shot", 1), ("periodic", 10), ("deadline", 1)],
    )?;
    check_test(output, CPUS)?;
    let wait: Wait = records::one(output, "timer_wait")?;
    // Under Bochs, too, a cycle is an instruction.
    ensure!((1..=LATENCY).contains(&wait.late_cycles), "{wait:?}");
    ensure_eq!(wait.duration_ns, 10_000_000, "duration");
    ensure_eq!(wait.interrupts, 1, "interrupts of one deadline");
    Ok(())
}
