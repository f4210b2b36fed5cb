//! Where figures were measured: what they depend on besides the kernel.

use std::path::Path;
use std::process::Command;

use object::{Object as _, ObjectSymbol as _};
use serde::{Deserialize, Serialize};
use tocsin_tools::{Machine, workspace};

/// The image that is measured.
pub const IMAGE: &str = "target/image/tocsin.elf";

/// What tools/setup.sh found; its line for the kernel's compiler.
const SETUP: &str = "target/setup/env";
const COMPILER: &str = "KERNEL_BIN=";

/// Part of the name of a function that is only in an image with all checks.
const CHECKED: &str = "panic_const_add_overflow";

/// How the kernel is built for figures that are to be kept.
pub const RELEASE: &str = "release";

/// The host, its tools and the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The machine that was booted: `q35, 4 CPUs, 512 MiB, TCG`.
    pub machine: String,
    /// QEMU's `-cpu`.
    #[serde(default)]
    pub cpu: String,
    /// What was added to QEMU's command line.
    #[serde(default)]
    pub qemu_args: String,
    /// What was added to the kernel's command line.
    #[serde(default)]
    pub append: String,
    /// The host's processor, and how many of it.
    pub processor: String,
    /// The host's own kernel.
    #[serde(default)]
    pub system: String,
    /// QEMU's version.
    pub qemu: String,
    /// Version of the compiler that built the kernel.
    pub compiler: String,
    /// How the image was built: `release` or `dev`.
    #[serde(default)]
    pub profile: String,
    /// The kernel's version, and of what source.
    pub kernel: String,
    /// Size of the image, in bytes.
    pub image_bytes: u64,
    /// When the sitting began, in seconds since 1970, UTC.
    pub began: u64,
}

impl Host {
    /// What it is now; `append` is what was added to the kernel's command line.
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

/// The kernel of the host, and its release: `Linux 6.1.0`.
fn system() -> String {
    let read = |name| {
        let text = std::fs::read_to_string(format!("/proc/sys/kernel/{name}"));
        text.map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
    };
    format!("{} {}", read("ostype"), read("osrelease"))
}

/// How an image was built, which is seen in it: whoever measures may not be who built it.
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
