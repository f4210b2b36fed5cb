//! Abnormal events: nested NMIs, simultaneous panics, spurious and unhandled interrupts, and long
//! sections with interrupts masked.

mod nmi;
mod panic_stop;
mod sections;
mod stray;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    let mut trials = nmi::trials();
    trials.extend(panic_stop::trials());
    trials.extend(stray::trials());
    trials.extend(sections::trials());
    trials
}
