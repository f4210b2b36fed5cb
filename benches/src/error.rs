//! Errors of measurements, of their storage and of their comparison.

use std::path::{Path, PathBuf};

use tocsin_tools::SessionError;
use tocsin_tools::settings::BadSetting;

/// An error that stops the suite.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Setting(#[from] BadSetting),
    #[error("{what}: {source}")]
    Files {
        what: String,
        source: std::io::Error,
    },
    #[error("{}: {why}", .path.display())]
    Content { path: PathBuf, why: String },
    #[error("bring-up time: {0:?} is not a duration")]
    Duration(String),
    #[error("`memory` shows {0:?} where the frames in use or a CPU's stacks should be")]
    Memory(String),
    #[error("the kernel's records cannot be used: {why}\n{scene}")]
    Records {
        why: crate::record::BadRecord,
        /// The last output of the machine, and the command line.
        scene: String,
    },
    #[error("{machine}: {why}")]
    Machine { machine: String, why: Box<Self> },
    #[error("no machine completed its measurements (nothing was written)")]
    Nothing,
    #[error(
        "{setting}: {name:?}: unknown metric (give a group, or a prefix of a metric's name):\n{known}"
    )]
    Name {
        setting: String,
        name: String,
        /// All groups and metrics.
        known: String,
    },
    #[error(
        "none of the selected metrics can be measured on these machines (nothing was written){0}"
    )]
    NoMetrics(
        /// What was skipped, and why.
        String,
    ),
    #[error(
        "{} is built as {profile}: the baseline is of release; `make bench-accept` without PROFILE builds \
         and counts that",
        .image.display()
    )]
    Profile { image: PathBuf, profile: String },
    #[error("cannot draw a plot: {0}")]
    Plot(String),
    #[error("cannot fill in the report's template: {0}")]
    Template(#[from] askama::Error),
    #[error("cannot run {program}: {source}")]
    Spawn {
        program: String,
        source: std::io::Error,
    },
    #[error("{doing}: {why}\n--- next\n{next}")]
    Boot {
        doing: String,
        why: Box<SessionError>,
        next: String,
    },
    #[error("{0}")]
    Listing(String),
    #[error("{peer}: {why}")]
    Peer { peer: &'static str, why: String },
}

impl BenchError {
    /// Creates the error for a file that could not be read or written.
    pub fn file(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let what = format!("cannot {doing} {}", path.display());
        move |source| Self::Files { what, source }
    }
}
