//! Where figures were measured: what they depend on besides the kernel.

use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};
use tocsin_tools::workspace;

/// The image that is measured.
pub const IMAGE: &str = "target/image/tocsin.elf";

/// What tools/setup.sh found; its line for the kernel's compiler.
const SETUP: &str = "target/setup/env";
const COMPILER: &str = "KERNEL_BIN=";

/// The host, its tools and the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The machine that was booted: `q35, 4 CPUs, 512 MiB, TCG`.
    pub machine: String,
    /// The host's processor, and how many of it.
    pub processor: String,
    /// QEMU's version.
    pub qemu: String,
    /// Version of the compiler that built the kernel.
    pub compiler: String,
    /// The kernel's version, and of what source.
    pub kernel: String,
    /// Size of the image, in bytes.
    pub image_bytes: u64,
    /// When the sitting began, in seconds since 1970, UTC.
    pub began: u64,
}

impl Host {
    /// What it is now; `machine` as it is described.
    pub fn now(machine: String) -> Self {
        let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let image = std::fs::metadata(workspace().join(IMAGE));
        Self {
            machine,
            processor: processor(),
            qemu: qemu(),
            compiler: compiler(),
            kernel: kernel(),
            image_bytes: image.map_or(0, |file| file.len()),
            began: began.map_or(0, |time| time.as_secs()),
        }
    }
}

/// The first line that a program says, or that it says none.
fn says(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let program = program.as_ref();
    let said = Command::new(program)
        .args(arguments)
        .current_dir(workspace())
        .output();
    let text = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.unwrap_or_default().lines().next().map(str::to_owned);
    line.unwrap_or_else(|| format!("unknown: {} does not tell", program.display()))
}

/// The version of the QEMU that is used.
pub fn qemu() -> String {
    let qemu = std::env::var_os("QEMU").filter(|qemu| !qemu.is_empty());
    says(
        qemu.unwrap_or_else(|| "qemu-system-x86_64".into()),
        &["--version"],
    )
}

/// The version of the compiler that builds the kernel.
pub fn compiler() -> String {
    let setup = std::fs::read_to_string(workspace().join(SETUP)).unwrap_or_default();
    let folder = setup.lines().find_map(|line| line.strip_prefix(COMPILER));
    let folder = folder.unwrap_or_default().trim_matches('\'');
    says(Path::new(folder).join("rustc"), &["--version"])
}

fn processor() -> String {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let names = cpuinfo
        .lines()
        .filter(|line| line.starts_with("model name"));
    let names: Vec<_> = names.filter_map(|line| line.split_once(": ")).collect();
    match names.first() {
        Some((_, name)) => format!("{} x {name}", names.len()),
        None => "unknown".to_owned(),
    }
}

fn kernel() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match says("git", &["describe", "--always", "--dirty", "--abbrev=12"]) {
        commit if commit.starts_with("unknown") => version.to_owned(),
        commit => format!("{version} ({commit})"),
    }
}
