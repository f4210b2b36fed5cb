//! The root system description pointer (ACPI, 5.2.5.3).

use super::{Error, ErrorKind, Signature, Text, bytes_at, checksum, u32_at, u64_at};

/// The bytes of revision 0, and the first that every later one has.
pub const SIZE_V1: usize = 20;
/// The bytes of revision 2.
pub const SIZE_V2: usize = 36;
/// The most bytes that a later revision is believed to have.
const MAX_SIZE: u32 = 4096;

const SIGNATURE: &[u8; 8] = b"RSD PTR ";

/// The root pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rsdp {
    /// 0 in ACPI 1.0, 2 since ACPI 2.0.
    pub revision: u8,
    /// The maker.
    pub oem_id: Text<6>,
    /// The root table to use.
    pub root: Root,
}

/// Physical address of the root table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Root {
    /// Of the RSDT, with entries of 4 bytes.
    Rsdt(u32),
    /// Of the XSDT, with entries of 8 bytes.
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

/// Reads the root pointer.
///
/// 20 bytes are enough to find a revision 0, 36 for any later one, up to the
/// length that the structure itself gives. The XSDT is preferred; if its address
/// is 0, the RSDT is used.
///
/// # Errors
///
/// [`ErrorKind::NotMapped`], [`ErrorKind::Signature`] (the first four bytes),
/// [`ErrorKind::Checksum`] of the first 20 bytes or of the whole,
/// [`ErrorKind::Revision`] for 1, [`ErrorKind::Length`], and
/// [`ErrorKind::NoAddress`] if both addresses are 0.
pub fn parse(bytes: &[u8]) -> Result<Rsdp, Error> {
    let first = take(bytes, SIZE_V1)?;
    if !first.starts_with(SIGNATURE) {
        let found = bytes_at(first, 0).unwrap_or_default();
        return Err(error(0, ErrorKind::Signature(Signature(found))));
    }
    verify(first)?;
    let oem_id = Text(bytes_at(first, 9).unwrap_or_default());
    let revision = first[15];
    let rsdt = u32_at(first, 16).unwrap_or_default();
    let root = match revision {
        0 => None,
        1 => return Err(error(15, ErrorKind::Revision(revision))),
        _ => xsdt(bytes)?.map(Root::Xsdt),
    };
    let root = match root {
        Some(root) => root,
        None if rsdt != 0 => Root::Rsdt(rsdt),
        None => return Err(error(16, ErrorKind::NoAddress)),
    };
    Ok(Rsdp {
        revision,
        oem_id,
        root,
    })
}

/// The XSDT's address, from the part that revision 2 adds.
fn xsdt(bytes: &[u8]) -> Result<Option<u64>, Error> {
    let second = take(bytes, SIZE_V2)?;
    let length = u32_at(second, 20).unwrap_or_default();
    let min = SIZE_V2 as u32;
    if !(min..=MAX_SIZE).contains(&length) {
        let max = MAX_SIZE;
        return Err(error(20, ErrorKind::Length { length, min, max }));
    }
    verify(take(bytes, length as usize)?)?;
    Ok(u64_at(second, 24).filter(|&address| address != 0))
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
