//! All interrupt sources of a machine of the matrix, under Bochs.

use libtest_mimic::Trial;
use serde_json::json;
use tocsin_tests::interrupt_records::{NestedNmi, Storm};
use tocsin_tests::records;
use tocsin_tests::sources::runs;
use tocsin_tools::PROMPT;

use super::{CPUS, boot_output, trial};
use crate::{Result, calls, ensure, ensure_eq, priority, sources};

/// The commands. Each source interrupts ten times.
const COMMANDS: [&str; 7] = [
    "nest json",
    "ipi json",
    "tlb json",
    "nmi nest json",
    "storm 2 json",
    "lapic json",
    "sources 10 json",
];

pub fn trials() -> Vec<Trial> {
    vec![trial("machine::bochs::haswell::x2apic".to_owned(), || {
        let output = boot_output("x2apic", &COMMANDS.join("; "))?;
        check(&output).map_err(|e| format!("{e}\n--- COM1\n{output}").into())
    })]
}

fn check(output: &str) -> Result {
    let mut replies = [""; COMMANDS.len()];
    for (slot, command) in replies.iter_mut().zip(COMMANDS) {
        *slot = reply(output, command)?;
    }
    let [nest, ipi, tlb, nmi, storm, lapic, driven] = replies;
    priority::check_nest(nest, CPUS)?;
    calls::kinds::check(ipi, CPUS)?;
    calls::tlb::check(tlb, CPUS)?;
    let nmi: NestedNmi = records::one(nmi, "nested_nmi")?;
    ensure_eq!((nmi.nested, nmi.runs), (1, 2), "nested NMIs and runs");
    ensure!(nmi.intact, "the interrupted registers: {nmi:?}");
    let storm: Storm = records::one(storm, "storm")?;
    ensure!(storm.passed, "the storm has not passed");
    let timer = json!({
        "kind": "lvt_entry", "entry": "timer", "timer_mode": "tsc_deadline",
    });
    ensure!(records::contain(lapic, &timer)?, "no {timer} in:\n{lapic}");
    check_sources(driven)
}

/// The kernel's output for a command.
fn reply<'a>(output: &'a str, command: &str) -> std::result::Result<&'a str, String> {
    let typed = format!("{PROMPT}{command}\n");
    let (_, after) = output
        .split_once(&typed)
        .ok_or(format!("{command:?} was not run"))?;
    let (reply, _) = after
        .split_once(PROMPT)
        .ok_or(format!("no prompt after {command:?}"))?;
    // The last line of a failed command begins with its name.
    let name = command.split(' ').next().unwrap_or_default();
    let failure = reply
        .lines()
        .find(|line| line.starts_with(&format!("{name}: ")));
    failure.map_or(Ok(reply), |line| Err(line.to_owned()))
}

/// PIT, RTC, each comparator of the HPET with edge and level trigger mode, and the keyboard. The
/// machine sends the comparators' edges for GSI 0 to input 2 and drops those for GSI 2, although
/// their capabilities list both.
fn check_sources(reply: &str) -> Result {
    let runs = runs(reply)?;
    let count = |source: &str| runs.iter().filter(|run| run.source == source).count();
    for (source, expected) in [("pit", 3), ("rtc", 5), ("hpet", 18), ("keyboard", 1)] {
        ensure_eq!(count(source), expected, "runs of {source} in:\n{reply}");
    }
    for run in &runs {
        if run.source != "rtc" {
            sources::check_counts(run, 10)?;
        }
    }
    Ok(())
}
