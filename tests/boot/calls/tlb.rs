//! Mappings that change while all CPUs have them in their TLBs.

use libtest_mimic::Trial;
use tocsin_tools::Session;

use super::everywhere;
use crate::{PATIENCE, Result, ensure, ensure_eq};

pub fn trials() -> Vec<Trial> {
    everywhere("tlb", forgotten_everywhere)
}

/// Before the CPUs are told of a change, QEMU lets them use what they have cached; after, none does.
fn forgotten_everywhere(session: &mut Session, cpus: u64) -> Result {
    // Twice: the first run takes away what it maps.
    once(session, cpus)?;
    once(session, cpus)
}

fn once(session: &mut Session, cpus: u64) -> Result {
    check(&session.command("tlb", PATIENCE)?, cpus)
}

/// Whether the answer to `tlb` shows that no CPU used what had changed.
pub fn check(answer: &str, cpus: u64) -> Result {
    const CHANGES: [&str; 3] = ["another frame", "read-only", "absent"];
    for change in CHANGES {
        let mut sizes = Vec::new();
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
            // More may have been dropped for reasons of QEMU's own; but if most had been, this would show
            // nothing.
            ensure!(
                (pages * cpus / 2..=pages * cpus).contains(&before) && before > 0,
                "{before} of {} cached pages were still used before the CPUs were told:\n{answer}",
                pages * cpus
            );
            ensure_eq!(after, 0, "{change}, {pages} pages, used after the change");
            let all = row.ends_with("all forgotten");
            ensure_eq!(all, pages > 32, "{change}, {pages} pages, all forgotten");
            sizes.push(pages);
        }
        ensure_eq!(sizes, [1, 32, 33], "{change}, numbers of pages");
    }
    Ok(())
}
