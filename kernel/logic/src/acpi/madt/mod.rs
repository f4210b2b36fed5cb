//! The multiple APIC description table: CPUs and interrupt controllers (ACPI, 5.2.12).

use super::sdt::{self, Header};
use super::{Error, ErrorKind, Located, Signature, u32_at};
use core::iter::FusedIterator;

mod entry;
mod flags;

pub use entry::{Entry, IoApic, LocalApic, LocalNmi, NmiSource, NmiTarget, Override, entry_name};
pub use flags::{CpuFlags, InterruptFlags, Setting};

/// The size of the part before the first entry, in bytes.
const FIXED_SIZE: usize = 44;
/// The size of the type and length fields at the start of every entry.
const ENTRY_HEADER: usize = 2;

/// A MADT.
#[derive(Clone, Copy, Debug)]
pub struct Madt<'a> {
    /// The table header.
    pub header: Header,
    /// Physical address of the local APIC page, unless an entry of type 5 overrides it.
    pub local_apic_address: u32,
    /// The flags; bit 0 is [`Madt::has_8259`].
    pub flags: u32,
    table: &'a [u8],
}

impl<'a> Madt<'a> {
    /// Checks the MADT as a whole. Its entries are checked during the walk.
    ///
    /// # Errors
    ///
    /// The errors of [`sdt::check`], [`ErrorKind::Signature`] for another table, and
    /// [`ErrorKind::Length`] if it is shorter than 44 bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (header, table) = sdt::expect(bytes, Signature::MADT, FIXED_SIZE)?;
        Ok(Self {
            header,
            local_apic_address: u32_at(table, 36).unwrap_or_default(),
            flags: u32_at(table, 40).unwrap_or_default(),
            table,
        })
    }

    /// `PCAT_COMPAT`: the machine also has two 8259s, which must be masked before
    /// the APICs are used.
    #[must_use]
    pub const fn has_8259(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Whether the online-capable bit of a CPU is defined. It is defined since ACPI 6.3 (MADT
    /// revision 5); before, it is reserved, but some firmware sets it.
    #[must_use]
    pub const fn has_online_capable(&self) -> bool {
        self.header.revision >= 5
    }

    /// The entries, in table order. An invalid entry yields an error in its place. The walk
    /// continues after it, unless its length field is invalid.
    #[must_use]
    pub const fn entries(&self) -> Entries<'a> {
        Entries {
            table: self.table,
            offset: FIXED_SIZE,
        }
    }
}

/// The iterator of [`Madt::entries`]. It yields at most one item for every two bytes of the table.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    table: &'a [u8],
    /// The offset of the next entry; the table length at the end of the walk.
    offset: usize,
}

impl Iterator for Entries<'_> {
    type Item = Result<Located<Entry>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let rest = self.table.get(offset..).filter(|rest| !rest.is_empty())?;
        let error = |kind| Some(Err(Error::new(Signature::MADT, offset, kind)));
        // The walk ends here unless the length of the entry proves valid.
        self.offset = self.table.len();
        let Some(&[kind, length]) = rest.first_chunk() else {
            return error(ErrorKind::Trailing {
                bytes: rest.len(),
                entry: ENTRY_HEADER,
            });
        };
        let size = usize::from(length);
        let short = ErrorKind::EntryShort {
            kind: kind.into(),
            needed: Entry::needed(kind).into(),
            length: length.into(),
        };
        if size < ENTRY_HEADER {
            return error(short);
        }
        let Some(bytes) = rest.get(..size) else {
            return error(ErrorKind::EntryOverrun {
                kind: kind.into(),
                length: length.into(),
                left: rest.len(),
            });
        };
        self.offset = offset + size;
        match Entry::decode(bytes) {
            Some(value) => Some(Ok(Located { offset, value })),
            None => error(short),
        }
    }
}

impl FusedIterator for Entries<'_> {}
