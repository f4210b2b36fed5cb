//! `ipi`: everything that CPUs send each other arrives exactly once, and rejected calls are not
//! sent.

use std::result;

use libtest_mimic::Trial;
use tocsin_tools::Session;

use super::everywhere;
use crate::{PATIENCE, Result, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    everywhere("kinds", all_came)
}

/// Runs twice, because the second run starts with the state that the first left; but only once with
/// many CPUs, each of which the host must wake for each interrupt.
fn all_came(session: &mut Session, cpus: u64) -> Result {
    let runs = if cpus > 8 { 1 } else { 2 };
    let mut answers = Vec::new();
    for _ in 0..runs {
        answers.push(session.command("ipi", PATIENCE)?);
    }
    // A rejection is logged once for each CPU; here only the last CPU is flooded.
    let warning = format!(
        "cpu{:<3} warning: CPU {}: 128 pieces of deferred work waited, and ",
        cpus - 1,
        cpus - 1
    );
    let said = session.transcript().text_from(0);
    ensure_eq!(said.matches(&warning).count(), 1, "reports of refused work");
    let line = said.lines().find(|line| line.contains(&warning));
    ensure!(
        line.is_some_and(|line| line.contains("commands::ipi::flood::work")),
        "the report does not name the work: {line:?}"
    );
    answers.iter().try_for_each(|answer| check(answer, cpus))
}

/// Checks that the output of `ipi` shows that everything arrived.
pub fn check(answer: &str, cpus: u64) -> Result {
    let rounds = (300 / (cpus * cpus)).clamp(1, 20);
    let pairs = rounds * cpus * cpus;
    let to_others = rounds * cpus * (cpus - 1);
    // In every second round, a CPU's set contains every second CPU, and in the others the rest.
    let sets = (0..cpus)
        .flat_map(|own| (0..rounds).map(move |round| own + round))
        .map(|first| (first..first + cpus).filter(|place| place % 2 == 0).count() as u64)
        .sum();
    let expected = [
        ("call one CPU and wait", pairs),
        ("call one CPU", pairs),
        ("call a set and wait", sets),
        ("call a set", sets),
        ("call all others and wait", to_others),
        ("call all others", to_others),
        ("call all and wait", pairs),
        ("call all", pairs),
        ("call all others and wait, all at once", to_others),
        ("interrupt one CPU", pairs),
        ("interrupt oneself", rounds * cpus),
        ("interrupt a set", sets),
        ("interrupt all others", to_others),
        ("interrupt all", pairs),
        ("call by NMI", to_others),
        ("work put off", rounds * cpus),
        ("work put off on one CPU", pairs),
        ("reschedule one CPU", pairs),
        ("message to a line", rounds * cpus),
    ];
    for (what, made) in expected {
        let row = answer
            .lines()
            .find_map(|line| line.trim_start().strip_prefix(what)?.strip_prefix("  "))
            .ok_or(format!("no row {what:?} in:\n{answer}"))?;
        let figures: Vec<u64> = row
            .split_whitespace()
            .map(str::parse)
            .collect::<result::Result<_, _>>()?;
        let &[sent, received, refused] = figures.as_slice() else {
            return Err(format!("{what:?} has not three figures: {row:?}").into());
        };
        ensure_eq!(received, sent, "{what}, received of what was sent");
        ensure_eq!(sent + refused, made, "{what}, sent and refused");
        // Only calls without waiting can find a full mailbox.
        let may_refuse =
            what.starts_with("call") && !what.contains("wait") && !what.contains("NMI");
        ensure!(refused == 0 || may_refuse, "{what}: {refused} were refused");
    }
    ensure!(
        answer.contains("reschedule 5 times while CR8 held all back: it did 1 time\n"),
        "five signals did not become one:\n{answer}"
    );
    check_flood(answer, cpus)
}

/// Accepted work was done once, in order; the counts are complete.
fn check_flood(answer: &str, cpus: u64) -> Result {
    let line = answer
        .lines()
        .find(|line| line.contains("flood of work"))
        .ok_or(format!("no flood in:\n{answer}"))?;
    let figures: Vec<u64> = line
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|number| number.parse().ok())
        .collect();
    let &[
        target,
        accepted,
        refused,
        done,
        out_of_order,
        accepted_there,
        refused_there,
        done_there,
    ] = figures.as_slice()
    else {
        return Err(format!("not all figures in {line:?}").into());
    };
    ensure_eq!(target, cpus - 1, "the CPU that is flooded");
    ensure_eq!(done, accepted, "pieces done of those accepted");
    ensure_eq!(out_of_order, 0, "pieces out of order");
    ensure_eq!(
        (accepted_there, refused_there, done_there),
        (accepted, refused, done),
        "what the queue counted"
    );
    // In its thread alone the target makes 200, and its queue has room for 128 of them. Handlers
    // and called functions make one and a half for each of a thread's.
    ensure!(refused > 0, "nothing was refused: {line}");
    let rounds = (400 / cpus).clamp(8, 200);
    ensure!(
        accepted + refused >= 200 + 100 + (cpus - 1) * rounds * 3 / 2,
        "only {} pieces were made: {line}",
        accepted + refused
    );
    Ok(())
}
