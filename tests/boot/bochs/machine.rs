//! All interrupt sources of a machine of the matrix, under Bochs.

use libtest_mimic::Trial;
use serde_json::json;
use tocsin_tests::records;
use tocsin_tests::sources::runs;
use tocsin_tools::PROMPT;

use super::{CPUS, said, trial};
use crate::{Result, calls, ensure, ensure_eq, sources};

/// The commands. Each source interrupts ten times.
const COMMANDS: [&str; 7] = [
    "nest",
    "ipi",
    "tlb",
    "nmi nest",
    "storm 2",
    "lapic json",
    "sources 10 json",
];

pub fn trials() -> Vec<Trial> {
    vec![trial("machine::bochs::haswell::x2apic".to_owned(), || {
        let said = said("x2apic", &COMMANDS.join("; "))?;
        check(&said).map_err(|e| format!("{e}\n--- COM1\n{said}").into())
    })]
}

fn check(said: &str) -> Result {
    let mut answers = [""; COMMANDS.len()];
    for (place, command) in answers.iter_mut().zip(COMMANDS) {
        *place = answer(said, command)?;
    }
    let [nest, ipi, tlb, nmi, storm, lapic, driven] = answers;
    contains(nest, &format!("{CPUS} of {CPUS} CPUs nested"))?;
    contains(nest, &format!("on {CPUS}, CR8 held back what it must"))?;
    calls::kinds::check(ipi, CPUS)?;
    calls::tlb::check(tlb, CPUS)?;
    contains(nmi, "NMIs during another: 1; the handler ran 2 times")?;
    contains(nmi, "the interrupted registers are intact")?;
    contains(storm, "nothing lost, nothing doubled")?;
    let timer = json!({
        "kind": "lvt_entry", "entry": "timer", "timer_mode": "tsc_deadline",
    });
    ensure!(records::contain(lapic, &timer)?, "no {timer} in:\n{lapic}");
    check_sources(driven)
}

/// The kernel's output for a command.
fn answer<'a>(said: &'a str, command: &str) -> std::result::Result<&'a str, String> {
    let typed = format!("{PROMPT}{command}\n");
    let (_, after) = said
        .split_once(&typed)
        .ok_or(format!("{command:?} was not run"))?;
    let (answer, _) = after
        .split_once(PROMPT)
        .ok_or(format!("no prompt after {command:?}"))?;
    // The last line of a failed command begins with its name.
    let name = command.split(' ').next().unwrap_or_default();
    let failure = answer
        .lines()
        .find(|line| line.starts_with(&format!("{name}: ")));
    failure.map_or(Ok(answer), |line| Err(line.to_owned()))
}

fn contains(answer: &str, expected: &str) -> Result {
    ensure!(answer.contains(expected), "no {expected:?} in:\n{answer}");
    Ok(())
}

/// PIT, RTC, each comparator of the HPET with edge and level trigger mode, and the keyboard. The
/// machine sends the comparators' edges for GSI 0 to input 2 and drops those for GSI 2, although
/// their capabilities list both.
fn check_sources(answer: &str) -> Result {
    let runs = runs(answer)?;
    let count = |source: &str| runs.iter().filter(|run| run.source == source).count();
    for (source, expected) in [("pit", 3), ("rtc", 5), ("hpet", 18), ("keyboard", 1)] {
        ensure_eq!(count(source), expected, "runs of {source} in:\n{answer}");
    }
    for run in &runs {
        if run.source != "rtc" {
            sources::check_counts(run, 10)?;
        }
    }
    Ok(())
}
