//! The benchmarks: the output can be parsed and is complete, and instruction counts are exact.

mod causes;
mod counted;

use std::collections::BTreeMap;

use libtest_mimic::Trial;
use serde_json::Value;
use tocsin_tools::metrics::GROUPS;
use tocsin_tools::settings::Smp;
use tocsin_tools::{Machine, Outcome, Session};

use crate::{Result, TIMEOUT, ensure, ensure_eq, plain, trial, with};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("bench::instructions_are_exact::x2apic", || exact("x2apic")),
        trial("bench::instructions_are_exact::xapic", || exact("xapic")),
        trial("bench::cycles", || with(&machine("x2apic")?, cycles)),
        trial("bench::help", || with(&plain(), help)),
        trial("bench::mistakes_are_named", || {
            with(&plain(), |session| {
                session.wait_prompt(TIMEOUT)?;
                for (line, says) in [
                    (
                        "bench nothing",
                        "invalid argument `nothing` (expected clock=, ",
                    ),
                    (
                        "bench clock=sun",
                        "expected clock=cycles or clock=instructions",
                    ),
                    ("bench samples=0", "a number from 1 to "),
                    (
                        "bench exception clock=instructions",
                        "bench: clock=instructions: a run of 2004 instructions took ",
                    ),
                ] {
                    let reply = session.command(line, TIMEOUT)?;
                    ensure!(reply.contains(says), "{line}: no {says:?} in:\n{reply}");
                }
                Ok(())
            })
        }),
    ]
}

fn machine(mode: &str) -> Result<Machine> {
    let machine = plain().smp(Smp::parse("2")?).args(["-device", "edu"]);
    Ok(machine.append(format!("apic={mode}")))
}

/// A metric: its name, variant and parameters as one text, and its record.
type Metrics = BTreeMap<String, Value>;

/// The metrics of an output, which must be complete.
fn metrics(reply: &str) -> Result<Metrics> {
    let mut metrics = Metrics::new();
    let (mut ends, mut steps) = (Vec::new(), Vec::new());
    for line in reply.lines().filter_map(|line| line.strip_prefix("@json ")) {
        let record: Value = serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))?;
        match record["kind"].as_str() {
            Some("metric") => {
                let word = |key: &str| record[key].as_str().unwrap_or("?").to_owned();
                let key = format!("{} {} {}", word("name"), word("variant"), record["param"]);
                ensure!(
                    metrics.insert(key.clone(), record).is_none(),
                    "{key} is there twice"
                );
            }
            Some("end") => ends.push(record["metrics"].as_u64()),
            Some("run") => steps.push((record["clock"].clone(), record["resolution"].as_u64())),
            Some("progress" | "skip" | "cause") => {}
            other => return Err(format!("a record of kind {other:?}: {line}").into()),
        }
    }
    ensure_eq!(
        ends,
        [Some(metrics.len() as u64)],
        "metrics that the end tells"
    );
    let [(clock, Some(step))] = &steps[..] else {
        return Err(format!("the steps of the clocks: {steps:?}").into());
    };
    ensure!(
        (1..1000).contains(step) && (*clock != "instructions" || *step == 1),
        "{clock} in steps of {step}"
    );
    for record in metrics.values() {
        check(record)?;
    }
    Ok(metrics)
}

/// A metric's percentiles ascend, and its histogram contains all its samples.
fn check(record: &Value) -> Result {
    let number = |key: &str| record[key].as_u64().ok_or(format!("no {key} in {record}"));
    let mut last = 0;
    for key in ["min", "p50", "p90", "p99", "p99_9", "max"] {
        let value = number(key)?;
        ensure!(
            value >= last,
            "{key} is less than what is before it: {record}"
        );
        last = value;
    }
    let buckets = record["histogram"].as_array().ok_or("no histogram")?;
    let counted = buckets.iter().filter_map(|bucket| bucket[2].as_u64());
    ensure_eq!(
        counted.sum::<u64>(),
        number("samples")?,
        "samples of {record}"
    );
    // Negative values are printed as 0.
    let zeros = buckets.iter().filter(|bucket| bucket[0] == 0);
    let zeros: u64 = zeros.filter_map(|bucket| bucket[2].as_u64()).sum();
    ensure!(
        number("below_zero")? <= zeros,
        "more below 0 than are 0: {record}"
    );
    let ends = (&buckets[0], &buckets[buckets.len() - 1]);
    let inside = |bucket: &Value, value| {
        bucket[0].as_u64() <= Some(value) && Some(value) <= bucket[1].as_u64()
    };
    ensure!(
        inside(ends.0, number("min")?) && inside(ends.1, number("max")?),
        "the histogram does not reach from the least to the greatest: {record}"
    );
    Ok(())
}

/// A cause's record without its sums: the rounding of deadlines in nanoseconds may differ by a
/// tick.
fn without_sums(record: &str) -> String {
    let mut pieces = record.split(",\"sum\":");
    let first = pieces.next().unwrap_or_default();
    let others = pieces.map(|piece| piece.trim_start_matches(|c: char| c.is_ascii_digit()));
    std::iter::once(first).chain(others).collect()
}

/// Runs all benchmarks on two machines, whose records must be equal, and checks the metrics.
fn exact(mode: &str) -> Result {
    let machine = plain()
        .smp(Smp::parse("2")?)
        .args(["-device", "edu"])
        .icount("shift=0,sleep=off")
        .args(["-rtc", "base=2020-01-01,clock=vm"])
        .append(format!(
            "apic={mode} run=\"bench clock=instructions json; poweroff\""
        ));
    let run = || -> Result<String> {
        let mut output = String::new();
        with(&machine, |session| {
            session.expect_exit(Outcome::Kernel(0), TIMEOUT)?;
            let all = session.transcript().tail(usize::MAX);
            // Without the times.
            let lines = all.lines().filter_map(|line| line.split_once(" | "));
            let records = lines.filter(|(_, line)| line.starts_with("@json "));
            let records: Vec<&str> = records.map(|(_, line)| line).collect();
            output = records.join("\n");
            Ok(())
        })?;
        Ok(output)
    };
    let (first, second) = (run()?, run()?);
    for (one, other) in first.lines().zip(second.lines()) {
        // Booting waits for the receiver of the serial port, which runs on the host's time.
        // The behaviour of a pseudo-random load depends on the boot time, to the nanosecond.
        let may_differ = [
            "\"bringup.cpus\"",
            "{\"load\":\"mixed\"}",
            "{\"load\":\"interrupts\"}",
        ];
        let may_differ = may_differ
            .iter()
            .any(|word| one.contains(word) && other.contains(word));
        let (one, other) = (without_sums(one), without_sums(other));
        ensure!(
            one == other || may_differ,
            "two runs of the same image differ:\n{one}\n{other}"
        );
    }
    ensure_eq!(
        first.lines().count(),
        second.lines().count(),
        "records of two runs"
    );
    let metrics = metrics(&first)?;
    for name in GROUPS.iter().flat_map(|(_, names)| *names) {
        let is_there = metrics
            .keys()
            .any(|key| key.starts_with(&format!("{name} ")));
        ensure!(is_there, "no metric {name} in:\n{first}");
    }
    counted::match_baselines(&metrics, mode)?;
    counted::parts_make_the_whole(&metrics)?;
    counted::a_flood_comes(&metrics)?;
    counted::latencies_hold(&metrics)?;
    causes::are_listed(&first)?;
    if mode == "x2apic" {
        counted::are_within_limits(&metrics)?;
    }
    Ok(())
}

/// Metrics in cycles are complete too, and a group can be run separately.
fn cycles(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    for (group, names) in GROUPS {
        let reply = session.command(&format!("bench {group} samples=200 json"), TIMEOUT)?;
        let metrics = metrics(&reply)?;
        for name in *names {
            ensure!(
                metrics.keys().any(|key| key.starts_with(name)),
                "no {name} in:\n{reply}"
            );
        }
        let all_of_group = metrics.values().all(|it| {
            let name = it["name"].as_str().unwrap_or_default();
            names.contains(&name)
        });
        ensure!(all_of_group, "metrics of other groups in:\n{reply}");
    }
    let table = session.command("bench exception samples=200", TIMEOUT)?;
    ensure!(
        !table.contains("@json") && table.contains("exception.ud"),
        "no table alone:\n{table}"
    );
    Ok(())
}

/// `help bench` lists every argument of the command, with its description.
fn help(session: &mut Session) -> Result {
    session.wait_prompt(TIMEOUT)?;
    let reply = session.command("help bench", TIMEOUT)?;
    let words = GROUPS.iter().map(|(group, _)| *group);
    for word in words.chain(["clock=cycles", "clock=instructions", "samples=N", "json"]) {
        let mut lines = reply.lines().map(str::split_whitespace);
        let is_listed = lines.any(|mut line| line.next() == Some(word) && line.next().is_some());
        ensure!(is_listed, "nothing of {word} in:\n{reply}");
    }
    Ok(())
}
