//! Builds the code inside the Linux peer: a program that is its `init`, and a module.

use std::path::{Path, PathBuf};
use std::process::Command;

use tocsin_tools::workspace;

use crate::error::BenchError;

const INIT: &str = "tocsin-bench-init";

/// Directory of the module's source; it is built in a copy, because the kernel's make writes there.
const MODULE: &str = "benches/peers/module";

/// The release for which headers build a module: `#define UTS_RELEASE "6.1.0-56-amd64"`.
const RELEASE: &str = "include/generated/utsrelease.h";

/// Builds the statically linked program.
///
/// # Errors
///
/// The build fails.
pub fn init() -> Result<PathBuf, BenchError> {
    let target = workspace().join("target/bench/peers");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args([
        "rustc",
        "--quiet",
        "--release",
        "--package",
        "tocsin-benches",
    ]);
    cargo.args(["--bin", INIT, "--target-dir"]);
    cargo
        .arg(&target)
        .args(["--", "-C", "target-feature=+crt-static"]);
    run(cargo)?;
    Ok(target.join("release").join(INIT))
}

/// Checks that these are headers of the kernel of this release, as far as both contain it.
///
/// # Errors
///
/// They are not: the kernel would reject the module.
pub fn check(headers: &Path, release: &str) -> Result<(), BenchError> {
    let bad = |why: String| {
        let why = format!("LINUX_HEADERS={}: {why}", headers.display());
        Err(BenchError::Peer { peer: "Linux", why })
    };
    if !headers.join("Makefile").is_file() {
        return bad("no Makefile there; give /usr/src/linux-headers-...".to_owned());
    }
    let own = std::fs::read_to_string(headers.join(RELEASE)).unwrap_or_default();
    let own = own.split('"').nth(1).unwrap_or_default();
    if own.is_empty() || release.is_empty() || own == release {
        return Ok(());
    }
    bad(format!(
        "those are of {own}, and LINUX_KERNEL is {release}; give the headers of that, or none"
    ))
}

/// Builds the module for the kernel with these headers.
///
/// # Errors
///
/// The build fails.
pub fn module(headers: &Path) -> Result<PathBuf, BenchError> {
    let copy = workspace().join("target/bench/peers/module");
    std::fs::create_dir_all(&copy).map_err(BenchError::file("make", &copy))?;
    for name in ["peer.c", "Makefile"] {
        let to = copy.join(name);
        let from = workspace().join(MODULE).join(name);
        std::fs::copy(from, &to).map_err(BenchError::file("write", &to))?;
    }
    let mut make = Command::new("make");
    // The variables of this project's make must not reach that one.
    make.env_remove("MAKEFLAGS").env_remove("MFLAGS");
    make.arg("-s").arg("-C").arg(headers);
    make.arg(format!("M={}", copy.display())).arg("modules");
    run(make)?;
    Ok(copy.join("peer.ko"))
}

fn run(mut command: Command) -> Result<(), BenchError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .current_dir(workspace())
        .output()
        .map_err(|source| {
            let program = program.clone();
            BenchError::Spawn { program, source }
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let why = format!("{program} failed ({}):\n{}", output.status, said.trim_end());
    Err(BenchError::Peer { peer: "Linux", why })
}
