//! Limine's release files and the ISO made from them, through the scripts `tools/limine.sh` and
//! `tools/iso.sh`.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::workspace;

/// The installed files of Limine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limine {
    /// Their directory.
    pub directory: PathBuf,
    /// Version, such as `8.2.0`; empty if the files do not contain it.
    pub version: String,
}

/// The reason why Limine cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoLimine {
    /// It is not available here; a direct boot does not need it.
    #[error("{0}")]
    NotToBeHad(String),
    /// The user specified its location, but it is not there.
    #[error("{0}")]
    Misdirected(String),
    /// The script that finds it, or creates the ISO, failed for another reason.
    #[error("{0}")]
    Failed(String),
}

/// Exit statuses of `tools/limine.sh`, which `tools/iso.sh` passes on.
const MISDIRECTED: i32 = 1;
const NOT_TO_BE_HAD: i32 = 2;

impl Limine {
    /// Finds Limine's files, or downloads them: offline, this takes a few seconds once.
    ///
    /// # Errors
    ///
    /// There are none; contains the script's message.
    pub fn find() -> Result<Self, NoLimine> {
        let output = run(script("limine.sh"))?;
        match output.status.code() {
            Some(0) => {}
            Some(MISDIRECTED) => return Err(NoLimine::Misdirected(complaint(&output))),
            Some(NOT_TO_BE_HAD) => return Err(NoLimine::NotToBeHad(complaint(&output))),
            _ => return Err(NoLimine::Failed(complaint(&output))),
        }
        let directory = workspace().join(String::from_utf8_lossy(&output.stdout).trim());
        let stage = std::fs::read(directory.join("limine-bios.sys")).unwrap_or_default();
        let version = version_in(&stage).unwrap_or_default();
        Ok(Self { directory, version })
    }
}

/// Creates an ISO at `iso` that boots `image` immediately with this kernel command line.
pub(crate) fn make_iso(image: &Path, append: &str, iso: &Path) -> Result<(), NoLimine> {
    let mut command = script("iso.sh");
    command.arg("--image").arg(image).arg("--output").arg(iso);
    command.args(["--append", append, "--timeout", "0"]);
    let output = run(command)?;
    match output.status.code() {
        Some(0) => Ok(()),
        Some(NOT_TO_BE_HAD) => Err(NoLimine::NotToBeHad(complaint(&output))),
        _ => Err(NoLimine::Failed(complaint(&output))),
    }
}

fn script(name: &str) -> Command {
    let mut command = Command::new(workspace().join("tools").join(name));
    command.stdin(Stdio::null());
    command
}

fn run(mut command: Command) -> Result<Output, NoLimine> {
    command.output().map_err(|e| {
        NoLimine::Failed(format!(
            "cannot run {}: {e}",
            command.get_program().to_string_lossy()
        ))
    })
}

/// A script's standard error, in one line and without its name.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines = text.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix("limine: ")
            .or(line.strip_prefix("iso: "))
            .unwrap_or(line)
    });
    let text = lines.collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        format!("the script ended with {} and no message", output.status)
    } else {
        text
    }
}

/// The version in Limine's second stage, such as `8.2.0`.
fn version_in(stage: &[u8]) -> Option<String> {
    let name = b"Limine ";
    stage
        .windows(name.len())
        .enumerate()
        .filter(|(_, window)| window == name)
        .find_map(|(at, _)| {
            let rest = &stage[at + name.len()..];
            let digits = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
            let version: Vec<u8> = rest.iter().copied().take_while(digits).collect();
            let version = String::from_utf8(version).ok()?;
            version
                .starts_with(|c: char| c.is_ascii_digit())
                .then_some(version)
        })
}
