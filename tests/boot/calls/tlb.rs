//! Changes of mappings that all CPUs have in their TLBs.

use libtest_mimic::Trial;
use tocsin_tools::Session;

use super::everywhere;
use crate::{PATIENCE, Result, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    everywhere("tlb", forgotten_everywhere)
}

/// Before the TLB shootdown, QEMU's CPUs use their cached translations; afterwards, none does.
fn forgotten_everywhere(session: &mut Session, cpus: u64) -> Result {
    // Runs twice: the first run removes its mappings.
    once(session, cpus)?;
    once(session, cpus)
}

fn once(session: &mut Session, cpus: u64) -> Result {
    check(&session.command("tlb", PATIENCE)?, cpus)
}

/// Checks that the output of `tlb` shows that no CPU used a translation that had changed.
pub fn check(answer: &str, cpus: u64) -> Result {
    const CHANGES: [&str; 3] = ["another frame", "read-only", "absent"];
    for change in CHANGES {
        let mut sizes = Vec::new();
        let (mut cached, mut stale) = (0, 0);
        for row in answer
            .lines()
            .filter_map(|it| it.trim().strip_prefix(change))
        {
            let mut numbers = row.split_whitespace().map_while(|it| it.parse().ok());
            let (Some(pages), Some(before), Some(after)) =
                (numbers.next(), numbers.next(), numbers.next())
            else {
                return Err(format!("{change:?} is without figures:\n{answer}").into());
            };
            let (pages, before, after): (u64, u64, u64) = (pages, before, after);
            cached += pages * cpus;
            stale += before;
            ensure_eq!(after, 0, "{change}, {pages} pages, used after the change");
            let all = row.ends_with("all forgotten");
            ensure_eq!(all, pages > 32, "{change}, {pages} pages, all forgotten");
            sizes.push(pages);
        }
        ensure_eq!(sizes, [1, 32, 33], "{change}, numbers of pages");
        // QEMU evicts some entries for its own reasons; but if it had evicted most, the test would
        // be void.
        ensure!(
            (cached / 2..=cached).contains(&stale),
            "{change}: {stale} of {cached} cached pages were still used before the CPUs were told:\n{answer}"
        );
    }
    Ok(())
}
