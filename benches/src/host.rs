//! The environment of a measurement, apart from the kernel.

use std::path::Path;
use std::process::Command;

use object::{Object as _, ObjectSymbol as _};
use serde::{Deserialize, Serialize};
use tocsin_tools::{Machine, workspace};

/// The measured image.
pub const IMAGE: &str = "target/image/tocsin.elf";

/// The file written by tools/setup.sh, and its line for the kernel's compiler.
const SETUP: &str = "target/setup/env";
const COMPILER: &str = "KERNEL_BIN=";

/// Part of a function's name that only images with all checks contain.
const CHECKED: &str = "panic_const_add_overflow";

/// The build profile for metrics that are kept.
pub const RELEASE: &str = "release";

/// The host, its tools and the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The machine that was booted: `q35, 4 CPUs, 512 MiB, TCG`.
    pub machine: String,
    /// QEMU's `-cpu`.
    #[serde(default)]
    pub cpu: String,
    /// Additional arguments of QEMU.
    #[serde(default)]
    pub qemu_args: String,
    /// Additional text on the kernel's command line.
    #[serde(default)]
    pub append: String,
    /// The host's CPU model, and the number of CPUs.
    pub processor: String,
    /// The host's kernel.
    #[serde(default)]
    pub system: String,
    /// QEMU's version.
    pub qemu: String,
    /// Version of the compiler of the kernel.
    pub compiler: String,
    /// The build profile of the image: `release` or `dev`.
    #[serde(default)]
    pub profile: String,
    /// The kernel's version and source revision.
    pub kernel: String,
    /// Size of the image, in bytes.
    pub image_bytes: u64,
    /// Start of the run, in seconds since 1970, UTC.
    pub began: u64,
}

impl Host {
    /// The current environment; `append` is the addition to the kernel's command line.
    pub fn now(machine: &Machine, append: &str) -> Self {
        let began = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let image = machine.image_path();
        Self {
            machine: machine.describe(),
            cpu: machine.cpu_model().to_owned(),
            qemu_args: machine.added().join(" "),
            append: append.to_owned(),
            processor: processor(),
            system: system(),
            profile: profile(image),
            qemu: qemu(),
            compiler: compiler(),
            kernel: kernel(),
            image_bytes: std::fs::metadata(image).map_or(0, |file| file.len()),
            began: began.map_or(0, |time| time.as_secs()),
        }
    }
}

/// The first line of a program's output, or a note that there is none.
fn says(program: impl AsRef<Path>, arguments: &[&str]) -> String {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(workspace())
        .output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let line = text.unwrap_or_default().lines().next().map(str::to_owned);
    line.unwrap_or_else(|| format!("unknown: {} does not tell", program.display()))
}

/// The version of QEMU.
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

/// The kernel of the host, and its release: `Linux 6.1.0`.
fn system() -> String {
    let read = |name| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        text.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
    };
    format!("{} {}", read("ostype"), read("osrelease"))
}

/// The build profile, detected from the image, because it may have been built elsewhere.
fn profile(image: &Path) -> String {
    let bytes = std::fs::read(image).unwrap_or_default();
    let Ok(elf) = object::File::parse(bytes.as_slice()) else {
        return "unknown".to_owned();
    };
    let mut names = elf.symbols().filter_map(|symbol| symbol.name().ok());
    let is_checked = names.any(|name| name.contains(CHECKED));
    if is_checked { "dev" } else { RELEASE }.to_owned()
}

fn kernel() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match says("git", &["describe", "--always", "--dirty", "--abbrev=12"]) {
        commit if commit.starts_with("unknown") => version.to_owned(),
        commit => format!("{version} ({commit})"),
    }
}
