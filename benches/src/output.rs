//! Atomic writes of output files: the old file remains until the new one is complete, however the
//! program ends.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tocsin_tools::workspace;

use crate::error::BenchError;

/// The output files of a run.
const FILES: [&str; 3] = ["results.json", "results.csv", "report.html"];

/// The default directory.
pub fn usual() -> PathBuf {
    workspace().join("target/bench")
}

/// A writable directory for results.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Creates the directory and checks that it is writable, so that an error occurs before the
    /// measurements.
    ///
    /// # Errors
    ///
    /// It cannot be created, or is not writable.
    pub fn prepare(path: &Path) -> Result<Self, BenchError> {
        std::fs::create_dir_all(path).map_err(BenchError::file("make the folder", path))?;
        for name in FILES {
            let file = path.join(name);
            if file.is_dir() {
                let why = ErrorKind::IsADirectory.into();
                return Err(BenchError::file("write", &file)(why));
            }
            let part = part(&file);
            let tried = File::create(&part).and_then(|_| std::fs::remove_file(&part));
            tried.map_err(BenchError::file("write", &file))?;
        }
        Ok(Self(path.to_owned()))
    }

    /// Writes a file in the directory.
    ///
    /// # Errors
    ///
    /// As for [`whole`].
    pub fn write(&self, name: &str, content: &str) -> Result<(), BenchError> {
        whole(&self.0.join(name), content)
    }
}

impl fmt::Display for Folder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short = self.0.strip_prefix(workspace());
        short.unwrap_or(&self.0).display().fmt(f)
    }
}

/// Writes a file atomically.
///
/// # Errors
///
/// It cannot be written; then it is unchanged.
pub fn whole(file: &Path, content: &str) -> Result<(), BenchError> {
    let part = part(file);
    let written = std::fs::write(&part, content).and_then(|()| std::fs::rename(&part, file));
    written.map_err(|why| {
        // The temporary file is useless; if it cannot be removed, the next write replaces it.
        let _ = std::fs::remove_file(&part);
        BenchError::file("write", file)(why)
    })
}

/// Path of the temporary file.
fn part(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
