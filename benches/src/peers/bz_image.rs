//! The header of a bzImage: Linux's Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".

#[cfg(test)]
mod tests;

use std::ops::Range;

/// Offset and value of the header's magic number.
const MAGIC_AT: Range<usize> = 0x202..0x206;
const MAGIC: &[u8] = b"HdrS";

/// Offset of the field that locates the version string: an offset from the second sector, or 0 for
/// none.
const VERSION_AT: Range<usize> = 0x20e..0x210;
const SECTOR: usize = 0x200;

/// The kernel's release, such as `6.1.0-56-amd64`; empty if it has none, `None` if this is not a
/// bzImage.
pub fn release(image: &[u8]) -> Option<String> {
    if image.get(MAGIC_AT)? != MAGIC {
        return None;
    }
    let at = image.get(VERSION_AT)?;
    let at = usize::from(u16::from_le_bytes([at[0], at[1]]));
    let version = match at {
        0 => &[],
        at => image.get(at + SECTOR..).unwrap_or_default(),
    };
    let ends = |byte: &u8| *byte == 0 || byte.is_ascii_whitespace();
    let first = version.split(ends).next().unwrap_or_default();
    Some(String::from_utf8_lossy(first).into_owned())
}
