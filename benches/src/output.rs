//! Files that are written whole or not at all: what was there before stays until the new one is
//! complete, whatever ends the program.

#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tocsin_tools::workspace;

use crate::error::BenchError;

/// What a sitting leaves.
const FILES: [&str; 3] = ["results.json", "results.csv", "report.html"];

/// Where nobody chose.
pub fn usual() -> PathBuf {
    workspace().join("target/bench")
}

/// A folder for results, into which they can be written.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder, and tries it: better than to fail when all is measured.
    ///
    /// # Errors
    ///
    /// It cannot be made, or nothing be written in it.
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

    /// Writes a file of it.
    ///
    /// # Errors
    ///
    /// As [`whole`].
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

/// Writes a file, whole or not at all.
///
/// # Errors
///
/// It cannot be written; then it is as it was.
pub fn whole(file: &Path, content: &str) -> Result<(), BenchError> {
    let part = part(file);
    let written = std::fs::write(&part, content).and_then(|()| std::fs::rename(&part, file));
    written.map_err(|why| {
        // Of no use; where it cannot be removed, the next writing replaces it.
        let _ = std::fs::remove_file(&part);
        BenchError::file("write", file)(why)
    })
}

/// Where a file is written until it is whole.
fn part(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}
