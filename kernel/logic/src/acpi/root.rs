//! The root tables: RSDT (ACPI, 5.2.7) and XSDT (5.2.8).

use super::sdt::{self, HEADER_SIZE, Header};
use super::{Error, ErrorKind, Signature, u32_at, u64_at};

/// A root table: an RSDT or XSDT.
#[derive(Clone, Copy, Debug)]
pub struct RootTable<'a> {
    /// The table header.
    pub header: Header,
    /// The bytes after the header.
    body: &'a [u8],
    /// The size of an entry in bytes: 4 in an RSDT, 8 in an XSDT.
    size: usize,
}

/// Checks an RSDT or XSDT.
///
/// # Errors
///
/// The errors of [`sdt::check`], and [`ErrorKind::Signature`] for any other table.
pub fn entries(bytes: &[u8]) -> Result<RootTable<'_>, Error> {
    let wide = bytes.starts_with(&Signature::XSDT.0);
    let (signature, size) = if wide {
        (Signature::XSDT, 8)
    } else {
        (Signature::RSDT, 4)
    };
    let (header, table) = sdt::expect(bytes, signature, HEADER_SIZE)?;
    Ok(RootTable {
        header,
        body: &table[HEADER_SIZE..],
        size,
    })
}

impl<'a> RootTable<'a> {
    /// The physical addresses of the tables, except null entries. The 64-bit entries of an XSDT are
    /// not aligned.
    pub fn addresses(&self) -> impl Iterator<Item = u64> + use<'a> {
        self.all().filter(|&address| address != 0)
    }

    /// The number of null entries. Some firmware leaves one in place of a table that it removed.
    #[must_use]
    pub fn null_entries(&self) -> usize {
        self.all().filter(|&address| address == 0).count()
    }

    /// Returns the error for bytes after the last whole entry, if there are any.
    #[must_use]
    pub fn trailing(&self) -> Option<Error> {
        let bytes = self.body.len() % self.size;
        (bytes != 0).then(|| {
            let offset = HEADER_SIZE + self.body.len() - bytes;
            let entry = self.size;
            let kind = ErrorKind::Trailing { bytes, entry };
            Error::new(self.header.signature, offset, kind)
        })
    }

    fn all(&self) -> impl Iterator<Item = u64> + use<'a> {
        let size = self.size;
        self.body.chunks_exact(size).map(move |entry| {
            if size == 8 {
                u64_at(entry, 0).unwrap_or_default()
            } else {
                u32_at(entry, 0).map_or(0, u64::from)
            }
        })
    }
}
