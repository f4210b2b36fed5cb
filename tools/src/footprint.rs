//! The memory that QEMU needs for a direct kernel boot.
//!
//! QEMU's option ROM copies the kernel's segments to their physical addresses and the first module
//! to the top of memory, without a check: if the module overlaps the image, or the image is beyond
//! the memory, the machine executes other data, and resets.

use std::path::Path;

use object::Endianness;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

const MIB: u64 = 1 << 20;

/// Memory that QEMU reserves above the first module for ACPI tables (`acpi_data_size` of its PC
/// machines).
const ACPI_DATA: u64 = 0x2_8000;

const PAGE: u64 = 4096;

/// The minimum memory, in whole MiB, with which QEMU loads `image` and `module`. `None` for an
/// image without 64-bit program headers: QEMU itself reports the error.
pub(crate) fn least_mib(image: &Path, module: Option<&Path>) -> Option<u64> {
    let data = std::fs::read(image).ok()?;
    let module = match module {
        Some(path) => Some(std::fs::metadata(path).ok()?.len()),
        None => None,
    };
    least(&segments(&data)?, module).map(|bytes| bytes.div_ceil(MIB))
}

/// Physical address and memory size of the loaded segments.
fn segments(data: &[u8]) -> Option<Vec<(u64, u64)>> {
    let header = FileHeader64::<Endianness>::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let headers = header.program_headers(endian, data).ok()?.iter();
    let loaded = headers.filter(|header| header.p_type(endian) == PT_LOAD);
    let ranges = loaded.map(|header| (header.p_paddr(endian), header.p_memsz(endian)));
    Some(ranges.collect())
}

/// The minimum memory in bytes. Without a module, the first page of the image is enough: the kernel
/// itself reports that the rest does not fit.
fn least(segments: &[(u64, u64)], module: Option<u64>) -> Option<u64> {
    match module {
        None => segments
            .iter()
            .map(|(start, _)| start.checked_add(PAGE))
            .min()?,
        Some(size) => {
            let ends = segments
                .iter()
                .map(|(start, size)| start.checked_add(*size));
            let end = ends.collect::<Option<Vec<_>>>()?.into_iter().max()?;
            // The module is page-aligned, and its end is one byte below the tables.
            end.checked_next_multiple_of(PAGE)?
                .checked_add(size)?
                .checked_add(PAGE + ACPI_DATA)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_fits_above_the_image() {
        let segments = [(0x20_0000, 0xe_3000), (0x30_0000, 0xb_0000)];
        assert_eq!(least(&segments, None), Some(0x20_1000));
        assert_eq!(least(&segments, Some(0)), Some(0x3b_0000 + 0x2_9000));
        let size = 0x13_5770;
        assert_eq!(least(&segments, Some(size)), Some(0x3d_9000 + size));
        assert_eq!(least(&[], Some(1)), None);
    }

    #[test]
    fn unknown_kernels_are_passed_to_qemu() {
        assert_eq!(segments(b"no ELF"), None);
        assert_eq!(least_mib(Path::new("/no/such/image"), None), None);
    }
}
