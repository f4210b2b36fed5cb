//! What must not happen and does: NMIs that meet, CPUs that panic together, interrupts that
//! nobody sent, and sections that hold interrupts back for long.

mod ending;
mod nmi;
mod stray;
mod stretch;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    let mut trials = nmi::trials();
    trials.extend(ending::trials());
    trials.extend(stray::trials());
    trials.extend(stretch::trials());
    trials
}
