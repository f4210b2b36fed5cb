//! Kernels that the tests build beside the one under `target/image/tocsin.elf`.

use std::path::PathBuf;
use std::process::Command;

use tocsin_tools::workspace;

/// Builds the kernel in a debug build; its image.
///
/// # Errors
///
/// If the build fails; has what it said.
pub fn debug_image() -> Result<PathBuf, String> {
    let image = workspace().join("target/image/tocsin-dev.elf");
    let mut build = Command::new(workspace().join("tools/build-kernel.sh"));
    build.env("PROFILE", "dev").env("IMAGE", &image);
    let output = build.output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(image);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("the debug build of the kernel failed:\n{said}"))
}
