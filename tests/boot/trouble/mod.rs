//! Abnormal events: nested NMIs, simultaneous panics, spurious and unhandled interrupts, and long
//! sections with interrupts masked.

mod ending;
mod nmi;
mod sections;
mod stray;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    let mut trials = nmi::trials();
    trials.extend(ending::trials());
    trials.extend(stray::trials());
    trials.extend(sections::trials());
    trials
}
