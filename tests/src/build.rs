//! Builds for the tests: kernels other than the one in `target/image/tocsin.elf`, and host
//! programs.

use std::path::PathBuf;
use std::process::Command;

use tocsin_tools::workspace;

/// Builds a debug build of the kernel and returns its image.
///
/// # Errors
///
/// If the build fails; contains its output.
pub fn debug_image() -> Result<PathBuf, String> {
    let image = workspace().join("target/image/tocsin-dev.elf");
    let mut build = Command::new(workspace().join("tools/build-kernel.sh"));
    build.env("PROFILE", "dev").env("IMAGE", &image);
    let output = build.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(image);
    }
    let printed = String::from_utf8_lossy(&output.stderr);
    Err(format!("the debug build of the kernel failed:\n{printed}"))
}

/// Builds the host program of this name in the package of the same name, and returns its path.
/// Cargo makes another package's library available to tests, but does not build its programs for
/// them.
///
/// # Errors
///
/// If the build fails; Cargo has printed the reason.
pub fn program(name: &str) -> Result<PathBuf, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(workspace());
    build.args(["build", "--quiet", "--package", name, "--bin", name]);
    let status = build
        .status()
        .map_err(|e| format!("cannot run cargo: {e}"))?;
    if !status.success() {
        return Err(format!("{name} does not build"));
    }
    let this = std::env::current_exe().map_err(|e| e.to_string())?;
    let directory = this.parent().and_then(|deps| deps.parent());
    Ok(directory.ok_or("this program lies nowhere")?.join(name))
}
