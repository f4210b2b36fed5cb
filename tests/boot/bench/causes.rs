//! Causes of slow samples: the parts add up to the whole, and a known cause is found.

use serde_json::Value;

use crate::{Result, ensure, ensure_eq};

const PARTS: [&str; 5] = ["if_off", "cr8", "in_service", "hardware", "dispatch"];

/// Time for which each load of a known cause masks the interrupt after its deadline, in
/// instructions.
const DELAY: u64 = 10_000;

/// Maximum number of instructions without a known cause, and from the gate to the handler with no
/// other timer due.
const UNKNOWN: u64 = 60;

/// Like [`UNKNOWN`], if a section may begin after the deadline: the timer is up to 25 instructions
/// late, and the end of a section is not measured (50).
const UNKNOWN_MIXED: u64 = 80;

/// Checks the causes among the records of a boot in which instructions were counted.
pub fn are_listed(records: &str) -> Result {
    let mut loads = Vec::new();
    for line in records.lines() {
        let record = line.strip_prefix("@json ").ok_or("no record")?;
        let record: Value = serde_json::from_str(record)?;
        if record["kind"] == "cause" {
            let load = record["param"]["load"].as_str().ok_or("no load")?;
            check(&record, load)?;
            loads.push(load.to_owned());
        }
    }
    ensure_eq!(
        loads,
        ["idle", "if_off", "cr8", "in_service", "mixed"],
        "loads with a cause"
    );
    Ok(())
}

fn check(record: &Value, load: &str) -> Result {
    let number = |value: &Value| value.as_u64().ok_or(format!("no number in {record}"));
    let samples = record["worst"].as_array().ok_or("no worst samples")?;
    ensure!(!samples.is_empty(), "no worst samples in {record}");
    for sample in samples {
        let parts: Vec<u64> = PARTS
            .iter()
            .filter_map(|part| sample[part].as_u64())
            .collect();
        ensure_eq!(parts.len(), PARTS.len(), "parts of {sample}");
        ensure_eq!(
            parts.iter().sum::<u64>(),
            number(&sample["total"])?,
            "the sum of {sample}"
        );
    }
    let of = |part: &str, key: &str| number(&record["parts"][part][key]);
    let mut sum = 0;
    for part in PARTS {
        sum += of(part, "sum")?;
    }
    ensure_eq!(
        sum,
        number(&record["total"]["sum"])?,
        "the parts' sums of {record}"
    );
    ensure!(
        number(&record["total"]["sum"])? >= number(&record["samples"])? * of("hardware", "min")?,
        "a sum that is too small: {record}"
    );
    ensure_eq!(number(&record["below_zero"])?, 0, "{load}: below 0");
    let unknown = if load == "mixed" {
        UNKNOWN_MIXED
    } else {
        UNKNOWN
    };
    ensure!(
        of("hardware", "max")? <= unknown,
        "{load}: nothing is known of up to {} instructions",
        of("hardware", "max")?
    );
    if load == "mixed" {
        for part in ["if_off", "cr8", "in_service"] {
            ensure!(of(part, "max")? > 1_000, "mixed: {part} is never long");
        }
        return Ok(());
    }
    ensure!(
        of("dispatch", "max")? <= UNKNOWN,
        "{load}: slow dispatch in {record}"
    );
    for part in ["if_off", "cr8", "in_service"] {
        if part == load {
            let (least, most) = (of(part, "min")?, of(part, "max")?);
            ensure!(
                DELAY <= least && most <= DELAY + UNKNOWN,
                "{load}: delayed by {least} to {most} instructions, not {DELAY}"
            );
        } else {
            ensure_eq!(of(part, "max")?, 0, "{part} of the load {load}");
        }
    }
    Ok(())
}
