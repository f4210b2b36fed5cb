//! The variables of `make` (or in the environment): their valid values, and the messages for
//! invalid ones.
//!
//! They are checked before QEMU starts, because QEMU's messages name its options and not the
//! variable that the user set.

mod gdb;
mod machine;
mod qemu_error;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::Path;

pub use gdb::GdbEndpoint;
pub use machine::MachineArgs;
pub use qemu_error::Setting;

/// A variable with an invalid value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value}: {reason}; {accepted}")]
pub struct BadSetting {
    /// The variable, such as `SMP`.
    pub name: &'static str,
    /// Its value.
    pub value: String,
    /// The reason why the value is invalid.
    pub reason: String,
    /// The accepted values, with an example.
    pub accepted: &'static str,
}

impl BadSetting {
    /// Creates the error for an invalid value, its reason, and the accepted values.
    #[must_use]
    pub fn new(name: &'static str, value: &str, reason: &str, accepted: &'static str) -> Self {
        let (value, reason) = (value.to_owned(), reason.to_owned());
        Self {
            name,
            value,
            reason,
            accepted,
        }
    }
}

/// `SMP`: QEMU's `-smp` value, which begins with the number of CPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smp {
    value: String,
    cpus: Option<u32>,
    /// The maximum number of CPUs.
    most: u32,
}

impl Smp {
    /// Checks the value of `SMP`.
    ///
    /// # Errors
    ///
    /// The number of CPUs is 0 or not a number, or a part is not `name=number`.
    pub fn parse(value: &str) -> Result<Self, BadSetting> {
        let bad = |reason| {
            let accepted = "give a number of CPUs from 1 up, as SMP=4, or QEMU's -smp form, \
                            as SMP=6,sockets=2,cores=3";
            Err(BadSetting::new("SMP", value, reason, accepted))
        };
        let mut cpus = None;
        let (mut most, mut places) = (1, 1_u32);
        for (index, part) in value.split(',').enumerate() {
            let (name, number) = match part.split_once('=') {
                Some((name, number)) => (name, number),
                None if index == 0 => ("cpus", part),
                None => return bad("every part after the first must be name=number"),
            };
            match number.parse::<u32>() {
                Err(_) => return bad("a count must be a number"),
                Ok(0) => return bad("a machine needs at least one CPU"),
                Ok(n) if name == "cpus" => cpus = Some(n),
                Ok(n) if name == "maxcpus" => most = n,
                // Sockets, dies, cores and so on.
                Ok(n) => places = places.saturating_mul(n),
            }
        }
        let most = most.max(places).max(cpus.unwrap_or(1));
        let value = value.to_owned();
        Ok(Self { value, cpus, most })
    }

    /// The maximum number of CPUs, including hot-plugged ones.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.most
    }

    /// The number of CPUs at boot; `None` if a topology determines it.
    #[must_use]
    pub fn cpus(&self) -> Option<u32> {
        self.cpus
    }

    /// A display name: `4 CPUs`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.cpus {
            Some(1) => "1 CPU".to_owned(),
            Some(n) => format!("{n} CPUs"),
            None => format!("CPUs {}", self.value),
        }
    }
}

impl Default for Smp {
    /// One CPU.
    fn default() -> Self {
        Self {
            value: "1".to_owned(),
            cpus: Some(1),
            most: 1,
        }
    }
}

impl fmt::Display for Smp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

/// `MEM`: the machine's memory, in bytes, a whole number of MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    mib: u64,
}

impl Memory {
    /// Checks the value of `MEM`: a number with `M`, `G` or `T`; without a unit, MiB.
    ///
    /// # Errors
    ///
    /// It is not a number, has an unknown unit, is empty, or exceeds 2^64 bytes.
    pub fn parse(value: &str) -> Result<Self, BadSetting> {
        let bad = |reason: &str| {
            let accepted = "give a size in M, G or T, as MEM=512M or MEM=2G";
            Err(BadSetting::new("MEM", value, reason, accepted))
        };
        let digits = value.trim_end_matches(|c: char| !c.is_ascii_digit());
        let mib_per_unit: u64 = match value[digits.len()..].to_ascii_uppercase().as_str() {
            "" | "M" | "MB" | "MIB" => 1,
            "G" | "GB" | "GIB" => 1 << 10,
            "T" | "TB" | "TIB" => 1 << 20,
            unit => return bad(&format!("{unit:?} is no unit of memory")),
        };
        let Ok(number) = digits.parse::<u64>() else {
            return bad("that is no number");
        };
        match number.checked_mul(mib_per_unit) {
            Some(0) => bad("a machine needs memory"),
            Some(mib) if mib < 1 << 44 => Ok(Self { mib }),
            _ => bad("that is more than 64 bits can address"),
        }
    }

    /// The size in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.mib << 20
    }

    /// A display name: `512 MiB`, `8 GiB`.
    #[must_use]
    pub fn describe(self) -> String {
        if self.mib >= 1024 && self.mib.is_multiple_of(1024) {
            format!("{} GiB", self.mib / 1024)
        } else {
            format!("{} MiB", self.mib)
        }
    }
}

impl Default for Memory {
    /// 512 MiB.
    fn default() -> Self {
        Self { mib: 512 }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}M", self.mib)
    }
}

/// The accelerator, which executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// TCG, QEMU's own translator: available on every host, with the same behaviour.
    Tcg,
    /// KVM: the host CPU itself, through Linux.
    Kvm,
}

impl Accel {
    /// Checks the value of `ACCEL` against this host.
    ///
    /// # Errors
    ///
    /// An unknown word, or `kvm` where KVM does not work.
    pub fn parse(value: &str) -> Result<Self, BadSetting> {
        let accepted = "give auto, tcg or kvm";
        match value {
            "tcg" => Ok(Self::Tcg),
            "auto" => Ok(Self::best()),
            "kvm" => match kvm_trouble() {
                None => Ok(Self::Kvm),
                Some(why) => Err(BadSetting::new("ACCEL", value, &why, accepted)),
            },
            _ => {
                let reason = "that is no accelerator of this kernel's runs";
                Err(BadSetting::new("ACCEL", value, reason, accepted))
            }
        }
    }

    /// Selects KVM only with hardware virtualisation: `/dev/kvm` can also be opened on hosts
    /// without it, where guests are very slow.
    #[must_use]
    pub fn best() -> Self {
        kvm_trouble().map_or(Self::Kvm, |_| Self::Tcg)
    }

    /// A display name: `TCG`.
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            Self::Tcg => "TCG",
            Self::Kvm => "KVM",
        }
    }
}

impl fmt::Display for Accel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcg => "tcg",
            Self::Kvm => "kvm",
        })
    }
}

/// The reason why KVM cannot be used here; `None` if it can.
fn kvm_trouble() -> Option<String> {
    let kvm = Path::new("/dev/kvm");
    if let Err(e) = std::fs::OpenOptions::new().read(true).write(true).open(kvm) {
        return Some(format!("{} cannot be used: {e}", kvm.display()));
    }
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    if cpuinfo
        .split_ascii_whitespace()
        .any(|flag| flag == "vmx" || flag == "svm")
    {
        None
    } else {
        Some("this CPU shows neither vmx nor svm, so KVM would crawl".to_owned())
    }
}

/// `BOOT`: the boot methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BootWay {
    /// QEMU's `-kernel`, through the PVH note.
    Direct,
    /// An ISO with Limine, under BIOS.
    Limine,
    /// The same ISO under UEFI.
    LimineUefi,
}

impl BootWay {
    /// Checks the value of `BOOT`; `None` is `auto`.
    ///
    /// # Errors
    ///
    /// An unknown word.
    pub fn parse(value: &str) -> Result<Option<Self>, BadSetting> {
        match value {
            "auto" => Ok(None),
            "direct" => Ok(Some(Self::Direct)),
            "limine" => Ok(Some(Self::Limine)),
            "limine-uefi" => Ok(Some(Self::LimineUefi)),
            _ => Err(BadSetting::new(
                "BOOT",
                value,
                "that is no way to boot",
                "give auto, limine, limine-uefi or direct",
            )),
        }
    }

    /// The value of `BOOT` for this boot method.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Limine => "limine",
            Self::LimineUefi => "limine-uefi",
        }
    }
}
