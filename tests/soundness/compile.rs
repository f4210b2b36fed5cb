//! Programs that must not compile: each uses one item of the library on which memory safety
//! depends.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tocsin_tools::workspace;

use crate::Result;
use crate::cases::Case;
use crate::cases::CompileError::{Bound, Private, Type, Unsafe};

/// The code of every program before its statement. Only the statement may be invalid.
const HEADER: &str = "\
#![no_std]
#![allow(unused)]
use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::msi::Message;
use tocsin_logic::apic::{ApicId, Icr, Rte};
use tocsin_logic::vector::Vector;
use tocsin::memory::paging::Use;
extern \"C\" fn handler(_: usize, _: u8) {}
extern \"C\" fn in_nmi(_: usize) {}
";

/// A compiler with the kernel's library, built like the kernel itself.
pub struct Compiler {
    rustc: PathBuf,
    /// Names and files of the libraries that programs use.
    libraries: Vec<(String, PathBuf)>,
    /// The directories of the dependencies of these libraries.
    folders: BTreeSet<PathBuf>,
    directory: TempDir,
}

/// An error: its code, if it has one, its line, and the message.
type Error = (Option<String>, u64, String);

impl Compiler {
    /// Builds the library, unless it is already built. `None` if Rust's own library is built with
    /// the kernel: then only Cargo can use it.
    pub fn new() -> Result<Option<Self>> {
        let setup = std::fs::read_to_string(workspace().join("target/setup/env"))?;
        let value = |name: &str| {
            let line = setup.lines().find_map(|line| line.strip_prefix(name));
            line.map(|value| value.trim_matches('\'').to_owned())
        };
        if value("KERNEL_MODE=").as_deref() != Some("target") {
            return Ok(None);
        }
        let directory = tempfile::tempdir()?;
        let mut build = Command::new(workspace().join("tools/build-kernel.sh"));
        build.args(["build", "--lib", "--message-format", "json"]);
        build.env("IMAGE", directory.path().join("kernel.elf"));
        let output = build.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err("the kernel's library does not build".into());
        }
        let output = String::from_utf8(output.stdout)?;
        let artifacts = output
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let mut libraries = Vec::new();
        let mut folders = BTreeSet::new();
        for artifact in artifacts {
            let files = artifact["filenames"].as_array().into_iter().flatten();
            for file in files.filter_map(|file| file.as_str().map(PathBuf::from)) {
                // The libraries of procedural macros are built for the host, in another directory.
                folders.extend(file.parent().map(PathBuf::from));
                let name = artifact["target"]["name"].as_str().unwrap_or_default();
                if ["tocsin", "tocsin_logic", "tocsin_monitor"].contains(&name)
                    && file
                        .extension()
                        .is_some_and(|extension| extension == "rlib")
                {
                    libraries.push((name.to_owned(), file));
                }
            }
        }
        let rustc = PathBuf::from(value("KERNEL_BIN=").ok_or("no KERNEL_BIN")?).join("rustc");
        Ok(Some(Self {
            rustc,
            libraries,
            folders,
            directory,
        }))
    }

    /// The errors in a program.
    fn errors(&self, name: &str, program: &str) -> Result<Vec<Error>> {
        let file = self.directory.path().join(format!("{name}.rs"));
        std::fs::write(&file, program)?;
        let mut rustc = Command::new(&self.rustc);
        rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata"]);
        rustc.args(["--target=x86_64-unknown-none", "--error-format=json"]);
        rustc.args([
            "-Cpanic=abort",
            "-Crelocation-model=static",
            "-Ccode-model=kernel",
        ]);
        rustc.arg("--out-dir").arg(self.directory.path());
        for folder in &self.folders {
            rustc.arg(format!("-Ldependency={}", folder.display()));
        }
        for (name, library) in &self.libraries {
            rustc.arg(format!("--extern={name}={}", library.display()));
        }
        let output = rustc.arg(&file).current_dir(workspace()).output()?;
        let printed = String::from_utf8(output.stderr)?;
        let messages = printed
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let errors = messages.filter(|message| message["level"] == "error");
        let errors = errors.filter_map(|error| {
            // The last error, `aborting due to ...`, has no line.
            let mut spans = error["spans"].as_array()?.iter();
            let line = spans.find(|span| span["is_primary"] == true)?["line_start"].as_u64()?;
            let code = error["code"]["code"].as_str().map(str::to_owned);
            Some((code, line, error["message"].as_str()?.to_owned()))
        });
        let errors: Vec<_> = errors.collect();
        if errors.is_empty() && !output.status.success() {
            return Err(format!("{}: {printed}", self.rustc.display()).into());
        }
        Ok(errors)
    }

    /// Checks that a program compiles.
    pub fn accept(&self, name: &str, program: &str) -> Result {
        let file = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "_");
        let errors = self.errors(&file, program)?;
        if errors.is_empty() {
            Ok(())
        } else {
            Err(format!("{errors:#?} in\n{program}").into())
        }
    }

    /// Checks that the statement is rejected, with only the expected error.
    pub fn check(&self, (name, expected, statement): Case) -> Result {
        let program = |deny, statement: &str| {
            format!("{deny}{HEADER}pub fn program() {{\nlet _ = {{ {statement} }};\n}}\n")
        };
        let line = HEADER.lines().count() as u64 + 3;
        let errors = self.errors(name, &program("#![deny(unsafe_code)]\n", statement))?;
        let [(code, at, message)] = errors.as_slice() else {
            return Err(format!("one error is expected, not {errors:#?}").into());
        };
        let is_expected = match expected {
            Unsafe => code.as_deref() == Some("E0133"),
            Private => message.contains("private"),
            Type => code.as_deref() == Some("E0308"),
            Bound => code.as_deref() == Some("E0277"),
        };
        if !is_expected || *at != line {
            return Err(format!("{expected:?} in line {line} is expected, not {errors:#?}").into());
        }
        if matches!(expected, Unsafe) {
            // There is no other error.
            let errors = self.errors(name, &program("", &format!("unsafe {{ {statement} }}")))?;
            if !errors.is_empty() {
                return Err(format!("in an unsafe block: {errors:#?}").into());
            }
        }
        Ok(())
    }
}
