//! The result of a test command: the number of its checks, and of those that passed.

use alloc::format;
use core::cell::Cell;

use crate::command::CommandError;
use crate::record::Output;

/// The checks of a test command.
#[derive(Debug, Default)]
pub(super) struct Checks {
    passed: Cell<u64>,
    total: Cell<u64>,
}

impl Checks {
    /// Counts a check.
    pub(super) fn note(&self, has_passed: bool) {
        self.note_all(u64::from(has_passed), 1);
    }

    /// Counts `total` checks, of which `passed` have passed.
    pub(super) fn note_all(&self, passed: u64, total: u64) {
        self.passed.set(self.passed.get() + passed);
        self.total.set(self.total.get() + total);
    }

    /// Prints the result, and fails if a check has failed.
    pub(super) fn finish(&self, output: Output) -> Result<(), CommandError> {
        let (passed, total) = (self.passed.get(), self.total.get());
        output.heading(&format!("{passed}/{total} passed"));
        match total - passed {
            0 => Ok(()),
            failed => Err(CommandError::Failed(format!(
                "{failed} of {total} checks failed"
            ))),
        }
    }
}
