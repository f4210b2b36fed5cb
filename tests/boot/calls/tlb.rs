//! Changes of mappings that all CPUs have in their TLBs.

use libtest_mimic::Trial;
use serde::Deserialize;
use tocsin_tests::records;
use tocsin_tools::Session;

use super::everywhere;
use crate::{Result, TIMEOUT, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    everywhere("tlb", flushed_on_all_cpus)
}

/// Before the TLB shootdown, QEMU's CPUs use their cached translations; afterwards, none does.
fn flushed_on_all_cpus(session: &mut Session, cpus: u64) -> Result {
    // Runs twice: the first run removes its mappings.
    once(session, cpus)?;
    once(session, cpus)
}

fn once(session: &mut Session, cpus: u64) -> Result {
    check(&session.command("tlb json", TIMEOUT)?, cpus)
}

/// A record of `tlb json`, of kind `tlb_shootdown`.
#[derive(Deserialize)]
struct Shootdown {
    change: String,
    pages: u64,
    stale_before: u64,
    stale_after: u64,
    full_flush: bool,
}

/// A record of `tlb json`, of kind `concurrent_shootdowns`.
#[derive(Debug, Deserialize)]
struct Concurrent {
    shootdowns: u64,
    mapped: u64,
    stale: u64,
}

/// Shootdowns of all CPUs at once: no CPU used a page after its shootdown.
fn check_concurrent(found: &Concurrent, cpus: u64) -> Result {
    let rounds = (100 / cpus).clamp(1, 30);
    ensure_eq!(found.shootdowns, rounds * cpus, "concurrent shootdowns");
    ensure_eq!(found.stale, 0, "pages used after a concurrent shootdown");
    // A CPU waits after each change until another one has read its pages.
    ensure!(
        cpus == 1 || found.mapped >= rounds * cpus,
        "too few reads of mapped pages: {found:?}"
    );
    Ok(())
}

/// Checks that the output of `tlb json` shows that no CPU used a translation that had changed.
pub fn check(reply: &str, cpus: u64) -> Result {
    check_concurrent(&records::one(reply, "concurrent_shootdowns")?, cpus)?;
    let shootdowns: Vec<Shootdown> = records::all(reply, "tlb_shootdown")?;
    for change in ["another_frame", "read_only", "absent"] {
        let mut sizes = Vec::new();
        let (mut cached, mut stale) = (0, 0);
        for it in shootdowns.iter().filter(|it| it.change == change) {
            let pages = it.pages;
            cached += pages * cpus;
            stale += it.stale_before;
            ensure_eq!(it.stale_after, 0, "{change}, {pages} pages, used after it");
            ensure_eq!(it.full_flush, pages > 4, "{change}, {pages} pages, flush");
            sizes.push(pages);
        }
        ensure_eq!(sizes, [1, 4, 5], "{change}, numbers of pages");
        // QEMU evicts some entries for its own reasons; but if it had evicted most, the test would
        // be void.
        ensure!(
            (cached / 2..=cached).contains(&stale),
            "{change}: {stale} of {cached} cached pages were used before the shootdown:\n{reply}"
        );
    }
    Ok(())
}
