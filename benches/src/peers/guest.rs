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

/// The release of the kernel with these headers; empty if they do not contain it.
///
/// # Errors
///
/// These are no headers.
pub fn release(headers: &Path) -> Result<String, BenchError> {
    if !headers.join("Makefile").is_file() {
        let why = "no Makefile there; give /usr/src/linux-headers-...";
        return Err(bad_headers(headers, why));
    }
    let text = std::fs::read_to_string(headers.join(RELEASE)).unwrap_or_default();
    Ok(text.split('"').nth(1).unwrap_or_default().to_owned())
}

/// Whether headers of one release belong to a kernel of the other, as far as both are known: the
/// kernel rejects a module of another release.
pub fn is_alike(headers: &str, kernel: &str) -> bool {
    headers.is_empty() || kernel.is_empty() || headers == kernel
}

/// The error that `LINUX_HEADERS` is wrong.
pub fn bad_headers(headers: &Path, why: &str) -> BenchError {
    let why = format!("LINUX_HEADERS={}: {why}", headers.display());
    BenchError::Peer { peer: "Linux", why }
}

/// Builds the module for the kernel with these headers, below `dir`.
///
/// # Errors
///
/// The build fails.
pub fn module(headers: &Path, dir: &Path) -> Result<PathBuf, BenchError> {
    let copy = dir.join("module");
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
    // The module needs no BTF, which only pahole can generate.
    make.arg("CONFIG_DEBUG_INFO_BTF_MODULES=");
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
    let printed = String::from_utf8_lossy(&output.stderr);
    let why = format!(
        "{program} failed ({}):\n{}",
        output.status,
        printed.trim_end()
    );
    Err(BenchError::Peer { peer: "Linux", why })
}
