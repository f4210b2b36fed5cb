//! The root system description pointer (ACPI, 5.2.5.3).

use super::{Error, ErrorKind, Signature, Text, bytes_at, checksum, u32_at, u64_at};

/// The size of revision 0, in bytes; every later revision begins with these bytes.
pub const SIZE_V1: usize = 20;
/// The size of revision 2, in bytes.
pub const SIZE_V2: usize = 36;
/// The lengths of a later revision that are accepted, in bytes.
const LENGTHS: core::ops::RangeInclusive<u32> = SIZE_V2 as u32..=4096;

const SIGNATURE: &[u8; 8] = b"RSD PTR ";

/// The root pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rsdp {
    /// 0 in ACPI 1.0, 2 since ACPI 2.0.
    pub revision: u8,
    /// The OEM ID.
    pub oem_id: Text<6>,
    /// The error in the revision or the extended part, if there is one. The first part is valid
    /// nevertheless.
    pub problem: Option<Error>,
    roots: [Option<Root>; 2],
}

impl Rsdp {
    /// The root tables that the RSDP names, the preferred one first; there is at least one.
    pub fn roots(&self) -> impl Iterator<Item = Root> + use<> {
        self.roots.into_iter().flatten()
    }
}

/// The physical address of a root table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// The RSDT, with entries of 4 bytes.
    Rsdt(u32),
    /// The XSDT, with entries of 8 bytes.
    Xsdt(u64),
}

impl Root {
    /// The address.
    #[must_use]
    pub const fn address(self) -> u64 {
        match self {
            Self::Rsdt(address) => address as u64,
            Self::Xsdt(address) => address,
        }
    }
}

const fn error(offset: usize, kind: ErrorKind) -> Error {
    Error::new(Signature::RSDP, offset, kind)
}

/// The first `length` bytes, or the error that says they are not mapped.
fn take(bytes: &[u8], length: usize) -> Result<&[u8], Error> {
    bytes.get(..length).ok_or(error(
        0,
        ErrorKind::NotMapped {
            needed: length,
            available: bytes.len(),
        },
    ))
}

/// The number of bytes that [`parse`] needs, determined from the first bytes: 20, 36, or the value
/// of the length field.
#[must_use]
pub fn size(bytes: &[u8]) -> usize {
    match (bytes.get(15), u32_at(bytes, 20)) {
        (None | Some(0 | 1), _) => SIZE_V1,
        (Some(_), Some(length)) if LENGTHS.contains(&length) => length as usize,
        (Some(_), _) => SIZE_V2,
    }
}

/// Reads the root pointer. [`size`] returns the number of bytes that it needs.
///
/// The first 20 bytes have a checksum of their own and name the RSDT. In the field, the revision
/// may be 1, which no specification defines, and the extended part may have an impossible length or
/// a bad checksum. Then the RSDT is preferred, and [`Rsdp::problem`] has the error. The XSDT of an
/// extended part with a bad checksum is the second choice; its own checksum decides whether it is
/// used.
///
/// # Errors
///
/// [`ErrorKind::NotMapped`], [`ErrorKind::Signature`] (the first four bytes),
/// [`ErrorKind::Checksum`] of the first 20 bytes, and [`ErrorKind::NoAddress`] if no
/// root table is named.
pub fn parse(bytes: &[u8]) -> Result<Rsdp, Error> {
    let first = take(bytes, SIZE_V1)?;
    if !first.starts_with(SIGNATURE) {
        let found = bytes_at(first, 0).unwrap_or_default();
        return Err(error(0, ErrorKind::Signature(Signature(found))));
    }
    verify(first)?;
    let oem_id = Text(bytes_at(first, 9).unwrap_or_default());
    let revision = first[15];
    let rsdt = u32_at(first, 16).filter(|&address| address != 0);
    let rsdt = rsdt.map(Root::Rsdt);
    let (xsdt, problem) = match revision {
        0 => (None, None),
        1 => (None, Some(error(15, ErrorKind::Revision(revision)))),
        _ => extended(take(bytes, size(bytes))?),
    };
    let roots = match problem {
        None => [xsdt, rsdt],
        Some(_) => [rsdt, xsdt],
    };
    if roots == [None; 2] {
        return Err(problem.unwrap_or(error(16, ErrorKind::NoAddress)));
    }
    Ok(Rsdp {
        revision,
        oem_id,
        problem,
        roots,
    })
}

/// The XSDT of the part that revision 2 adds, and the error in that part.
fn extended(bytes: &[u8]) -> (Option<Root>, Option<Error>) {
    let length = u32_at(bytes, 20).unwrap_or_default();
    if !LENGTHS.contains(&length) {
        let (min, max) = (*LENGTHS.start(), *LENGTHS.end());
        let kind = ErrorKind::Length { length, min, max };
        return (None, Some(error(20, kind)));
    }
    let xsdt = u64_at(bytes, 24).filter(|&address| address != 0);
    (xsdt.map(Root::Xsdt), verify(bytes).err())
}

/// Changes every valid first part in `area` into an RSDP of revision 0 without an OEM ID, and
/// removes all other signatures, for a search that trusts length fields. RSDPs begin at multiples
/// of 16 bytes.
pub fn simplify(area: &mut [u8]) {
    for start in (0..area.len()).step_by(16) {
        let candidate = &mut area[start..];
        if !candidate.starts_with(SIGNATURE) {
            continue;
        }
        match candidate
            .get_mut(..SIZE_V1)
            .filter(|first| checksum(first) == 0)
        {
            Some(first) => {
                // Clear the OEM ID and the revision, then correct the checksum in byte 8.
                first[9..16].fill(0);
                first[8] = first[8].wrapping_sub(checksum(first));
            }
            None => candidate[0] = 0,
        }
    }
}

fn verify(bytes: &[u8]) -> Result<(), Error> {
    match checksum(bytes) {
        0 => Ok(()),
        sum => Err(error(
            0,
            ErrorKind::Checksum {
                sum,
                length: bytes.len(),
            },
        )),
    }
}
