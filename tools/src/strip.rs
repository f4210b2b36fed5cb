//! Creates the boot image from the linked kernel: the same ELF file without its DWARF sections.
//!
//! The image is loaded twice, as the kernel and as its own symbol module, and debug information is
//! ten times the size of the code. `.symtab` and `.strtab` are kept, because the kernel's
//! backtraces read them. Segments must not move: the kernel is linked for fixed physical addresses
//! and QEMU finds the PVH entry through `PT_NOTE`. The result is therefore read back and compared
//! with the input, program header by program header and byte by byte.

#[cfg(test)]
mod tests;

use std::io::Write as _;
use std::path::{Path, PathBuf};

use object::Endianness;
use object::build::elf::{Builder, SectionData};
use object::elf::{FileHeader64, SHF_ALLOC};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// The reason why an image could not be created.
#[derive(Debug, thiserror::Error)]
pub enum StripError {
    /// The input could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The output could not be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The input is not an ELF file that can be rewritten.
    #[error("{} is not an ELF file this tool can rewrite: {reason}", path.display())]
    Elf {
        /// The file.
        path: PathBuf,
        /// The parser's error.
        reason: String,
    },
    /// A loaded segment would have changed; nothing was written.
    #[error(
        "stripping {} would change program header {index} ({what}); the image was not written. \
         Look at the linker script: loaded bytes outside any section cannot be kept",
        path.display()
    )]
    SegmentChanged {
        /// The input.
        path: PathBuf,
        /// Number of the program header, from 0.
        index: usize,
        /// `header` or `contents`.
        what: &'static str,
    },
}

/// The result of [`strip`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stripped {
    /// Size of the input in bytes.
    pub before: usize,
    /// Size of the image in bytes.
    pub after: usize,
    /// Whether the image was written; false if it already had these contents.
    pub written: bool,
}

/// Writes the ELF at `input` to `output` without debug sections.
/// The output is written atomically, and keeps its time stamp if nothing changed, so that its
/// dependents are not rebuilt.
///
/// # Errors
///
/// A file that cannot be read or written, an input that is not an ELF file, or segments that would
/// change: see [`StripError`].
pub fn strip(input: &Path, output: &Path) -> Result<Stripped, StripError> {
    let before = std::fs::read(input).map_err(|source| StripError::Read {
        path: input.to_owned(),
        source,
    })?;
    let after = without_debug(&before).map_err(|e| StripError::Elf {
        path: input.to_owned(),
        reason: e.to_string(),
    })?;
    let changed = changed_segment(&before, &after).map_err(|e| StripError::Elf {
        path: input.to_owned(),
        reason: e.to_string(),
    })?;
    if let Some((index, what)) = changed {
        return Err(StripError::SegmentChanged {
            path: input.to_owned(),
            index,
            what,
        });
    }
    let written = std::fs::read(output).ok().as_deref() != Some(&after);
    if written {
        replace(output, &after).map_err(|source| StripError::Write {
            path: output.to_owned(),
            source,
        })?;
    }
    Ok(Stripped {
        before: before.len(),
        after: after.len(),
        written,
    })
}

/// The ELF file `elf` without its debug sections and the sections that refer only to them.
fn without_debug(elf: &[u8]) -> Result<Vec<u8>, object::build::Error> {
    let mut builder = Builder::read(elf)?;
    let mut debug = Vec::new();
    for section in &mut builder.sections {
        let name = section.name.as_slice();
        let is_debug = name.starts_with(b".debug_") || name.starts_with(b".zdebug_");
        // An allocated section is part of a segment, regardless of its name.
        if is_debug && !section.sh_flags.contains(SHF_ALLOC) {
            section.delete = true;
            debug.push(section.id());
        }
    }
    for section in &mut builder.sections {
        let relocates_debug = section
            .sh_info_section
            .is_some_and(|to| debug.contains(&to));
        if matches!(section.data, SectionData::Relocation(_)) && relocates_debug {
            section.delete = true;
        }
    }
    builder.delete_orphan_symbols();
    builder.delete_orphan_relocations();
    let mut out = Vec::new();
    builder.write(&mut out)?;
    Ok(out)
}

/// The first program header whose fields or bytes differ between two ELF files.
fn changed_segment(
    before: &[u8],
    after: &[u8],
) -> Result<Option<(usize, &'static str)>, object::read::Error> {
    let parse = |elf| {
        let header = FileHeader64::<Endianness>::parse(elf)?;
        let endian = header.endian()?;
        Ok::<_, object::read::Error>((header, endian, header.program_headers(endian, elf)?))
    };
    let (old, endian, old_segments) = parse(before)?;
    let (new, _, new_segments) = parse(after)?;
    if old.e_entry(endian) != new.e_entry(endian) || old_segments.len() != new_segments.len() {
        return Ok(Some((0, "header")));
    }
    for (index, (old, new)) in old_segments.iter().zip(new_segments).enumerate() {
        if object::bytes_of(old) != object::bytes_of(new) {
            return Ok(Some((index, "header")));
        }
        // A segment may contain the file header, which refers to the new section table.
        let header_bytes = size_of::<FileHeader64<Endianness>>() as u64;
        let skip = header_bytes.saturating_sub(old.p_offset(endian)) as usize;
        let loaded = |data: Result<&[u8], ()>| data.map(|d| d.get(skip..).map(<[u8]>::to_vec));
        if loaded(old.data(endian, before)) != loaded(new.data(endian, after)) {
            return Ok(Some((index, "contents")));
        }
    }
    Ok(None)
}

/// Atomically replaces the file `path` with `bytes`.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))
        .tempfile_in(dir)?;
    file.write_all(bytes)?;
    file.persist(path)?;
    Ok(())
}
