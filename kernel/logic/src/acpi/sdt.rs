//! The header common to all tables (ACPI, 5.2.6).

use super::{Error, ErrorKind, Signature, Text, bytes_at, checksum, u32_at};

/// The size of the header, in bytes.
pub const HEADER_SIZE: usize = 36;
/// The maximum length that is accepted for a table: 16 MiB. The largest known tables have a few
/// hundred KiB; a corrupt length must not map half the memory.
pub const MAX_LENGTH: u32 = 16 << 20;

/// The header of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The signature of the table.
    pub signature: Signature,
    /// The length of the table in bytes, including the header; 36 to [`MAX_LENGTH`].
    pub length: u32,
    /// The table's revision.
    pub revision: u8,
    /// The checksum, which makes the sum of all bytes 0.
    pub checksum: u8,
    /// The OEM ID.
    pub oem_id: Text<6>,
    /// The OEM's ID for the table.
    pub oem_table_id: Text<8>,
    /// The OEM's revision of the table.
    pub oem_revision: u32,
    /// The ID of the tool that created the table.
    pub creator_id: Text<4>,
    /// The revision of that tool.
    pub creator_revision: u32,
}

impl Header {
    /// Reads a header. The rest of the table need not be mapped, and the checksum is not verified;
    /// call [`check`] once [`Header::length`] bytes are mapped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotMapped`] with fewer than 36 bytes, [`ErrorKind::Length`] if the length field
    /// is out of range.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let signature = Signature(bytes_at(bytes, 0).unwrap_or(*b"????"));
        let error = |offset, kind| Error::new(signature, offset, kind);
        let header = Self::read(bytes).ok_or(error(
            0,
            ErrorKind::NotMapped {
                needed: HEADER_SIZE,
                available: bytes.len(),
            },
        ))?;
        let (length, min, max) = (header.length, HEADER_SIZE as u32, MAX_LENGTH);
        if !(min..=max).contains(&length) {
            return Err(error(4, ErrorKind::Length { length, min, max }));
        }
        Ok(header)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let [revision, checksum] = bytes_at(bytes, 8)?;
        Some(Self {
            signature: Signature(bytes_at(bytes, 0)?),
            length: u32_at(bytes, 4)?,
            revision,
            checksum,
            oem_id: Text(bytes_at(bytes, 10)?),
            oem_table_id: Text(bytes_at(bytes, 16)?),
            oem_revision: u32_at(bytes, 24)?,
            creator_id: Text(bytes_at(bytes, 28)?),
            creator_revision: u32_at(bytes, 32)?,
        })
    }
}

/// Checks the length and the checksum of a whole table. `bytes` may be longer than the table.
///
/// # Errors
///
/// The errors of [`Header::parse`], [`ErrorKind::NotMapped`] if the table is longer than `bytes`,
/// and [`ErrorKind::Checksum`].
pub fn check(bytes: &[u8]) -> Result<Header, Error> {
    table(bytes).map(|(header, _)| header)
}

/// Like [`check`], and returns the bytes of the table without those after it.
pub(super) fn table(bytes: &[u8]) -> Result<(Header, &[u8]), Error> {
    let header = Header::parse(bytes)?;
    let error = |kind| Error::new(header.signature, 0, kind);
    let length = header.length as usize;
    let table = bytes.get(..length).ok_or(error(ErrorKind::NotMapped {
        needed: length,
        available: bytes.len(),
    }))?;
    match checksum(table) {
        0 => Ok((header, table)),
        sum => Err(error(ErrorKind::Checksum { sum, length })),
    }
}

/// Like [`table`], for a table that must have this signature and this minimum length.
pub(super) fn expect(
    bytes: &[u8],
    signature: Signature,
    min: usize,
) -> Result<(Header, &[u8]), Error> {
    // Check the signature first: the length and the checksum mean nothing in other data.
    if let Some(found) = bytes_at(bytes, 0).map(Signature)
        && found != signature
    {
        return Err(Error::new(signature, 0, ErrorKind::Signature(found)));
    }
    let (header, table) = table(bytes)?;
    if table.len() < min {
        let kind = ErrorKind::Length {
            length: header.length,
            min: min as u32,
            max: MAX_LENGTH,
        };
        return Err(Error::new(signature, 4, kind));
    }
    Ok((header, table))
}
