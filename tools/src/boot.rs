//! Creates the files for QEMU from a boot method.

use std::path::Path;

use crate::error::SessionError;
use crate::firmware::Firmware;
use crate::footprint;
use crate::limine;
use crate::machine::{Machine, Media};
use crate::settings::BootWay;

/// Maximum length of the kernel command line of a direct boot, in bytes: QEMU's option ROM
/// (pvh.bin) copies it with its NUL into a buffer of 4096 bytes, without a check.
const DIRECT_LIMIT: usize = 4095;

/// Creates the boot files of `machine`; temporary files are created in `dir`.
pub(crate) fn prepare(machine: &Machine, dir: &Path) -> Result<Media, SessionError> {
    if !machine.image.exists() {
        return Err(SessionError::NoImage(machine.image.clone()));
    }
    if machine.way == BootWay::Direct && machine.append.len() > DIRECT_LIMIT {
        return Err(SessionError::CommandLine {
            length: machine.append.len(),
            limit: DIRECT_LIMIT,
        });
    }
    if machine.way == BootWay::Direct {
        check_memory(machine)?;
    }
    let iso = dir.join("tocsin.iso");
    if machine.way != BootWay::Direct {
        limine::make_iso(&machine.image, &machine.append, &iso)?;
    }
    match machine.way {
        BootWay::Direct => Ok(Media::Kernel {
            kernel: machine.image.clone(),
            module: machine.module.clone(),
            append: machine.append.clone(),
        }),
        BootWay::Limine => Ok(Media::Cd { iso }),
        BootWay::LimineUefi => {
            let firmware = Firmware::find()?.with_own_variables(dir);
            let firmware = firmware.map_err(|source| SessionError::Files {
                what: "cannot copy the firmware's variables",
                source,
            })?;
            Ok(Media::UefiCd { iso, firmware })
        }
    }
}

/// Checks that QEMU can load the kernel and its module into the machine's memory.
fn check_memory(machine: &Machine) -> Result<(), SessionError> {
    let least = footprint::least_mib(&machine.image, machine.module.as_deref());
    match least {
        Some(least) if machine.memory.bytes() >> 20 < least => Err(SessionError::Memory {
            memory: machine.memory.to_string(),
            least,
        }),
        _ => Ok(()),
    }
}
