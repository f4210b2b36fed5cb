//! Host library: the only code that starts QEMU, communicates with the kernel in it and evaluates
//! its outcome. `make run`, the tests and the benchmarks all use it, so that they boot the same
//! machine.

use std::path::Path;

mod boot;
mod cleanup;
mod error;
mod firmware;
mod footprint;
mod limine;
mod machine;
pub mod metrics;
mod outcome;
pub mod output;
mod qmp;
mod session;
pub mod settings;
pub mod strip;
mod transcript;

pub use cleanup::before_end;
pub use error::{Scene, SessionError};
pub use firmware::{Firmware, FirmwareError};
pub use limine::{Limine, NoLimine};
pub use machine::Machine;
pub use outcome::Outcome;
pub use qmp::Event;
pub use session::{Output, PROMPT, READY, Session, Waker};
pub use transcript::{Transcript, text};

/// The project's root directory, which contains `kernel`, `tools` and `target`.
///
/// # Panics
///
/// Never: this package is one directory below it.
#[must_use]
pub fn workspace() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package
        .parent()
        .expect("the package lies inside the workspace")
}
