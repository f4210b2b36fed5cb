//! The longest section with interrupts masked: deliberately long sections are found, on every CPU,
//! with the name of their function.

use std::sync::LazyLock;

use libtest_mimic::Trial;
use regex::Regex;
use tocsin_tools::Session;

use super::stray::built;
use crate::{PATIENCE, Result, ensure, ensure_eq, machine_in, power_off_with, trial, with};

const CPUS: u32 = 4;

/// Duration of a deliberate section, in milliseconds; the kernel's constant.
const HOLD: f64 = 400.0;

pub fn trials() -> Vec<Trial> {
    let cells = [false, true].map(|dev| {
        let profile = if dev { "dev" } else { "release" };
        trial(format!("trouble::stretch::{profile}"), move || {
            with(&built(machine_in("x2apic", CPUS)?, dev)?, find)
        })
    });
    cells.into()
}

/// Rows of `prio`: CPU, masked interrupts, milliseconds, and function.
fn rows(answer: &str) -> Vec<(u32, String, f64, String)> {
    static ROW: LazyLock<Regex> = LazyLock::new(|| {
        let pattern =
            r"(?m)^ +(\d+)  (all|by CR8) +([\d.]+) (ns|us|ms|s)  0x[0-9a-f]{16}  (\S.*)\+0x";
        Regex::new(pattern).expect("the pattern is part of this program")
    });
    let rows = ROW.captures_iter(answer).map(|words| {
        let unit = match &words[4] {
            "ns" => 1e-6,
            "us" => 1e-3,
            "ms" => 1.0,
            _ => 1e3,
        };
        let duration = words[3].parse::<f64>().unwrap_or_default() * unit;
        let cpu = words[1].parse().unwrap_or(u32::MAX);
        (cpu, words[2].to_owned(), duration, words[5].to_owned())
    });
    rows.collect()
}

fn find(session: &mut Session) -> Result {
    session.wait_prompt(PATIENCE)?;
    let answer = session.command("prio", PATIENCE)?;
    ensure!(!answer.contains("Longest"), "found before asked:\n{answer}");
    for (what, kind, function) in [
        ("lock", "all", "hold_lock"),
        ("interrupts", "all", "hold_interrupts"),
        ("priority", "by CR8", "hold_priority"),
        ("ceiling", "by CR8", "hold_ceiling"),
    ] {
        session.command("prio watch on", PATIENCE)?;
        session.command(&format!("prio hold {what}"), PATIENCE)?;
        let answer = session.command("prio", PATIENCE)?;
        let found = rows(&answer);
        for cpu in 0..CPUS {
            let row = found.iter().find(|row| row.0 == cpu && row.1 == kind);
            let (_, _, duration, name) = row.ok_or(format!("{what}: CPU {cpu} in\n{answer}"))?;
            let is_long = *duration >= HOLD;
            ensure!(is_long, "{what}: {duration} ms on CPU {cpu}");
            let expected = format!("tocsin_monitor::commands::stretch::{function}");
            ensure_eq!(*name, expected, "{what}: function on CPU {cpu}");
        }
        // The other kind has no section of this duration or name.
        let other = found.iter().filter(|row| row.1 != kind);
        for (cpu, _, _, name) in other {
            ensure!(!name.contains("hold_"), "{what}: CPU {cpu} has {name}");
        }
    }
    // While the measurement is off, no new section is recorded, and the old ones are kept.
    session.command("prio watch off", PATIENCE)?;
    session.command("prio hold priority", PATIENCE)?;
    let answer = session.command("prio", PATIENCE)?;
    ensure!(
        !answer.contains("hold_priority"),
        "noted when off:\n{answer}"
    );
    let kept = answer.matches("stretch::hold_ceiling+").count();
    ensure_eq!(kept, CPUS as usize, "stretches that are kept");
    let answer = session.command("prio watch maybe", PATIENCE)?;
    ensure!(answer.contains("`maybe` will not do"), "{answer}");
    power_off_with(session, 0)
}
