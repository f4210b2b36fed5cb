//! Abnormal events: nested NMIs, simultaneous panics, spurious and unhandled interrupts, and long
//! sections with interrupts masked.

mod ending;
mod nmi;
mod sections;
mod spurious;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    let mut trials = nmi::trials();
    trials.extend(ending::trials());
    trials.extend(spurious::trials());
    trials.extend(sections::trials());
    trials
}
