//! Finds UEFI firmware for QEMU in the directories of various distributions.
//!
//! OVMF consists of two flash images: code, mapped read-only, and variables, which the firmware
//! writes, so every run gets its own copy.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

/// A pair of flash images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The code image.
    pub code: PathBuf,
    /// The image of empty variables; `None` if the code image contains them.
    pub vars: Option<PathBuf>,
}

/// The reason why there is no UEFI firmware.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FirmwareError {
    /// No known directory contains it.
    #[error(
        "no OVMF firmware found; install it (Debian, Ubuntu: apt-get install ovmf; Fedora: dnf \
         install edk2-ovmf; Arch: pacman -S edk2-ovmf) or set OVMF to its code image"
    )]
    NotFound,
    /// `OVMF` names a file that does not exist.
    #[error("OVMF={}: there is no such file; set it to OVMF's code image or leave it out", .0.display())]
    NoSuchFile(PathBuf),
}

/// Paths of code and variables, by distribution.
const KNOWN_PATHS: &[(&str, &str)] = &[
    // Debian, Ubuntu
    (
        "/usr/share/OVMF/OVMF_CODE_4M.fd",
        "/usr/share/OVMF/OVMF_VARS_4M.fd",
    ),
    (
        "/usr/share/OVMF/OVMF_CODE.fd",
        "/usr/share/OVMF/OVMF_VARS.fd",
    ),
    // Fedora
    (
        "/usr/share/edk2/ovmf/OVMF_CODE.fd",
        "/usr/share/edk2/ovmf/OVMF_VARS.fd",
    ),
    // Arch
    (
        "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        "/usr/share/edk2/x64/OVMF_VARS.4m.fd",
    ),
    (
        "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
        "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd",
    ),
    // QEMU's own: Homebrew on either Mac, and Linux builds from source
    (
        "/opt/homebrew/share/qemu/edk2-x86_64-code.fd",
        "/opt/homebrew/share/qemu/edk2-i386-vars.fd",
    ),
    (
        "/usr/local/share/qemu/edk2-x86_64-code.fd",
        "/usr/local/share/qemu/edk2-i386-vars.fd",
    ),
    (
        "/usr/share/qemu/edk2-x86_64-code.fd",
        "/usr/share/qemu/edk2-i386-vars.fd",
    ),
];

impl Firmware {
    /// The firmware in the environment variable `OVMF`, or else the first one found.
    ///
    /// # Errors
    ///
    /// There is none, or `OVMF` does not name a file.
    pub fn find() -> Result<Self, FirmwareError> {
        let chosen = std::env::var_os("OVMF").filter(|path| !path.is_empty());
        Self::find_with(chosen.as_deref().map(Path::new), Path::exists)
    }

    /// The same firmware with its writable image copied into `dir`.
    pub(crate) fn with_own_variables(self, dir: &Path) -> std::io::Result<Self> {
        let Self { code, vars } = self;
        let copy = |from: &Path| {
            let to = dir.join("ovmf-variables.fd");
            // Read and written, not copied, because the original's read-only mode must not be
            // preserved.
            std::fs::read(from)
                .and_then(|bytes| std::fs::write(&to, bytes))
                .map(|()| to)
        };
        Ok(match vars {
            Some(vars) => Self {
                code,
                vars: Some(copy(&vars)?),
            },
            None => Self {
                code: copy(&code)?,
                vars: None,
            },
        })
    }

    fn find_with(
        chosen: Option<&Path>,
        exists: impl Fn(&Path) -> bool,
    ) -> Result<Self, FirmwareError> {
        if let Some(code) = chosen {
            if !exists(code) {
                return Err(FirmwareError::NoSuchFile(code.to_owned()));
            }
            let vars = vars_beside(code).filter(|vars| exists(vars));
            let code = code.to_owned();
            return Ok(Self { code, vars });
        }
        KNOWN_PATHS
            .iter()
            .map(|&(code, vars)| (PathBuf::from(code), PathBuf::from(vars)))
            .find(|(code, vars)| exists(code) && exists(vars))
            .map(|(code, vars)| Self {
                code,
                vars: Some(vars),
            })
            .ok_or(FirmwareError::NotFound)
    }
}

/// The path of the variables of a code image, derived from its name.
fn vars_beside(code: &Path) -> Option<PathBuf> {
    let name = code.file_name()?.to_str()?;
    let vars = match name {
        "edk2-x86_64-code.fd" => "edk2-i386-vars.fd".to_owned(),
        _ if name.contains("CODE") => name.replace("CODE", "VARS"),
        _ if name.contains("code") => name.replace("code", "vars"),
        _ => return None,
    };
    Some(code.with_file_name(vars))
}
