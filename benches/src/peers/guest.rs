//! Builds what runs inside the Linux peer: a program that is its `init`, and a module.

use std::path::{Path, PathBuf};
use std::process::Command;

use tocsin_tools::workspace;

use crate::error::BenchError;

const INIT: &str = "tocsin-bench-init";

/// Where the module's source is; it is built in a copy, which the kernel's make fills.
const MODULE: &str = "benches/peers/module";

/// The program, linked so that it needs no other file.
///
/// # Errors
///
/// It does not build.
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

/// The module, for the kernel whose headers these are.
///
/// # Errors
///
/// There are no headers, or it does not build.
pub fn module(headers: &Path) -> Result<PathBuf, BenchError> {
    if !headers.join("Makefile").is_file() {
        let dir = headers.display();
        let why =
            format!("LINUX_HEADERS={dir}: no Makefile there; give /usr/src/linux-headers-...");
        return Err(BenchError::Peer { peer: "Linux", why });
    }
    let copy = workspace().join("target/bench/peers/module");
    std::fs::create_dir_all(&copy).map_err(BenchError::file("make", &copy))?;
    for name in ["peer.c", "Makefile"] {
        let to = copy.join(name);
        let from = workspace().join(MODULE).join(name);
        std::fs::copy(from, &to).map_err(BenchError::file("write", &to))?;
    }
    let mut make = Command::new("make");
    // The variables of our own make are not for that one.
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
