//! `ipi`: everything that CPUs send each other arrives exactly once, and rejected calls are not
//! sent.

use libtest_mimic::Trial;
use serde::Deserialize;
use tocsin_tests::interrupt_records::Ipi;
use tocsin_tests::records;
use tocsin_tools::Session;

use super::everywhere;
use crate::{Result, TIMEOUT, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    everywhere("kinds", all_kinds_received)
}

/// Runs twice, because the second run starts with the state that the first left; but only once with
/// many CPUs, each of which the host must wake for each interrupt.
fn all_kinds_received(session: &mut Session, cpus: u64) -> Result {
    let runs = if cpus > 8 { 1 } else { 2 };
    let mut replies = Vec::new();
    for _ in 0..runs {
        replies.push(session.command("ipi json", TIMEOUT)?);
    }
    // A rejection is logged once for each CPU; here only the last CPU is flooded.
    let warning = format!(
        "cpu{:<3} warning: deferred work: CPU {}: the queue was full with 128 items, and ",
        cpus - 1,
        cpus - 1
    );
    let output = session.transcript().text_from(0);
    ensure_eq!(
        output.matches(&warning).count(),
        1,
        "reports of refused work"
    );
    let line = output.lines().find(|line| line.contains(&warning));
    ensure!(
        line.is_some_and(|line| line.contains("commands::ipi::flood::work")),
        "the report does not name the work: {line:?}"
    );
    replies.iter().try_for_each(|reply| check(reply, cpus))
}

/// Checks that the output of `ipi json` shows that everything arrived.
pub fn check(reply: &str, cpus: u64) -> Result {
    let rounds = (300 / (cpus * cpus)).clamp(1, 20);
    let pairs = rounds * cpus * cpus;
    let to_others = rounds * cpus * (cpus - 1);
    // In every second round, a CPU's set contains every second CPU, and in the others the rest.
    let sets = (0..cpus)
        .flat_map(|own| (0..rounds).map(move |round| own + round))
        .map(|first| {
            (first..first + cpus)
                .filter(|number| number % 2 == 0)
                .count() as u64
        })
        .sum();
    let expected = [
        ("call_one", pairs),
        ("async_call_one", pairs),
        ("call_set", sets),
        ("async_call_set", sets),
        ("call_others", to_others),
        ("async_call_others", to_others),
        ("call_all", pairs),
        ("async_call_all", pairs),
        ("concurrent_call_others", to_others),
        ("ipi_one", pairs),
        ("ipi_self", rounds * cpus),
        ("ipi_set", sets),
        ("ipi_others", to_others),
        ("ipi_all", pairs),
        ("nmi_call", to_others),
        ("deferred_work", rounds * cpus),
        ("remote_deferred_work", pairs),
        ("reschedule", pairs),
        ("line_message", rounds * cpus),
    ];
    let found: Vec<Ipi> = records::all(reply, "ipi")?;
    ensure_eq!(found.len(), expected.len(), "kinds of interrupts");
    for (ipi, (interrupt, made)) in found.iter().zip(expected) {
        ensure_eq!(ipi.interrupt, interrupt, "kind of interrupt");
        ensure_eq!(
            ipi.received,
            ipi.sent,
            "{interrupt}, received of what was sent"
        );
        ensure_eq!(
            ipi.sent + ipi.refused,
            made,
            "{interrupt}, sent and refused"
        );
        // Only asynchronous calls can find a full mailbox.
        ensure!(
            ipi.refused == 0 || interrupt.starts_with("async_call"),
            "were refused: {ipi:?}"
        );
    }
    let merged: Merged = records::one(reply, "merged_reschedule_ipis")?;
    ensure_eq!(
        (merged.sent, merged.handled),
        (5, 1),
        "reschedule IPIs sent and handled"
    );
    check_barriers(&records::one(reply, "barriers")?, cpus)?;
    check_flood(&records::one(reply, "deferred_work_flood")?, cpus)
}

/// A record of kind `barriers`.
#[derive(Debug, Deserialize)]
struct BarrierCounts {
    barriers: u64,
    running_before: u64,
    running_after: u64,
}

/// No section of a target that was running before a barrier was running after it.
fn check_barriers(found: &BarrierCounts, cpus: u64) -> Result {
    let rounds = (400 / cpus).clamp(8, 100);
    ensure_eq!(found.barriers, rounds * (cpus + 1), "barriers");
    ensure_eq!(
        found.running_after,
        0,
        "sections that a barrier did not wait for"
    );
    ensure!(
        cpus == 1 || found.running_before > found.barriers / 2,
        "too few sections were running before a barrier: {found:?}"
    );
    Ok(())
}

/// A record of kind `merged_reschedule_ipis`.
#[derive(Deserialize)]
struct Merged {
    sent: u64,
    handled: u64,
}

/// A record of kind `deferred_work_flood`.
#[derive(Debug, Deserialize)]
struct Flood {
    cpu: u64,
    accepted: u64,
    refused: u64,
    done: u64,
    out_of_order: u64,
    queue: Queue,
}

/// The counts of the queue itself.
#[derive(Debug, Deserialize)]
struct Queue {
    accepted: u64,
    refused: u64,
    done: u64,
}

/// Accepted work was done once, in order; the counts are complete.
fn check_flood(flood: &Flood, cpus: u64) -> Result {
    let Flood {
        accepted,
        refused,
        done,
        ref queue,
        ..
    } = *flood;
    ensure_eq!(flood.cpu, cpus - 1, "the CPU that is flooded");
    ensure_eq!(done, accepted, "pieces done of those accepted");
    ensure_eq!(flood.out_of_order, 0, "pieces out of order");
    ensure_eq!(
        (queue.accepted, queue.refused, queue.done),
        (accepted, refused, done),
        "what the queue counted"
    );
    // In its thread alone the target makes 200, and its queue has room for 128 of them. Handlers
    // and called functions make one and a half for each of a thread's.
    ensure!(refused > 0, "nothing was refused: {flood:?}");
    let rounds = (400 / cpus).clamp(8, 200);
    ensure!(
        accepted + refused >= 200 + 100 + (cpus - 1) * rounds * 3 / 2,
        "only {} pieces were made: {flood:?}",
        accepted + refused
    );
    Ok(())
}
