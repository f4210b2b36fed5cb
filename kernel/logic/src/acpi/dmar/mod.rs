//! The DMA remapping table, which describes the IOMMUs of a machine (VT-d specification, chapter
//! 8).
//!
//! The table is a list of remapping structures. Most of them contain a list of [`Scope`]s, which
//! name devices by the path from a bus. An invalid structure or scope does not affect the others:
//! the iterators yield the error in its place and continue if the length permits.

use super::sdt::{self, Header};
use super::{Error, ErrorKind, Located, Signature, u16_at};
use core::iter::FusedIterator;

mod scope;
mod structure;

pub use scope::{Path, Scope, ScopeKind, Scopes};
pub use structure::{Andd, Atsr, Drhd, Rhsa, Rmrr, Satc, Sidp, Structure};

/// The size of the part before the first remapping structure, in bytes.
const FIXED_SIZE: usize = 48;

/// The size of the type and length fields at the start of every structure, in bytes.
const STRUCTURE_HEADER: usize = 4;

/// A DMAR table.
#[derive(Clone, Copy, Debug)]
pub struct Dmar<'a> {
    /// The table header.
    pub header: Header,
    /// The number of bits of the addresses to which devices can do DMA, 1 to 256.
    pub host_address_width: u16,
    /// The flags.
    pub flags: u8,
    table: &'a [u8],
}

impl<'a> Dmar<'a> {
    /// `INTR_REMAP`, bit 0: the platform supports interrupt remapping.
    pub const INTERRUPT_REMAPPING: u8 = 1 << 0;
    /// `X2APIC_OPT_OUT`, bit 1.
    pub const X2APIC_OPT_OUT: u8 = 1 << 1;

    /// Checks the table as a whole. Its structures are checked during the walk.
    ///
    /// # Errors
    ///
    /// The errors of [`sdt::check`], [`ErrorKind::Signature`], and [`ErrorKind::Length`] below 48
    /// bytes.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (header, table) = sdt::expect(bytes, Signature::DMAR, FIXED_SIZE)?;
        Ok(Self {
            header,
            host_address_width: u16::from(table[36]) + 1,
            flags: table[37],
            table,
        })
    }

    /// Whether the platform supports interrupt remapping.
    #[must_use]
    pub const fn remaps_interrupts(&self) -> bool {
        self.flags & Self::INTERRUPT_REMAPPING != 0
    }

    /// Whether firmware asks the OS not to use x2APIC mode. Without interrupt remapping the bit has
    /// no meaning, but some firmware sets it.
    #[must_use]
    pub const fn opts_out_of_x2apic(&self) -> bool {
        self.remaps_interrupts() && self.flags & Self::X2APIC_OPT_OUT != 0
    }

    /// The structures, in table order. An invalid structure yields an error in its place:
    ///
    /// - [`ErrorKind::EntryShort`], [`ErrorKind::EntryOverrun`] and [`ErrorKind::Trailing`]; the walk
    ///   ends after the last two, and after a length below 4;
    /// - [`ErrorKind::NoAddress`] and [`ErrorKind::Address`] for registers that are not aligned to
    ///   their size;
    /// - [`ErrorKind::MemoryRange`] for reserved memory that is not a range of pages.
    #[must_use]
    pub const fn structures(&self) -> Structures<'a> {
        Structures {
            table: self.table,
            offset: FIXED_SIZE,
        }
    }
}

/// The iterator of [`Dmar::structures`]. It yields at most one item for every four bytes of the
/// table.
#[derive(Clone, Debug)]
pub struct Structures<'a> {
    table: &'a [u8],
    /// The offset of the next structure; the table length at the end of the walk.
    offset: usize,
}

impl<'a> Iterator for Structures<'a> {
    type Item = Result<Located<Structure<'a>>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let rest = self.table.get(offset..).filter(|rest| !rest.is_empty())?;
        let error = |kind| Some(Err(Error::new(Signature::DMAR, offset, kind)));
        // The walk ends here unless the length of the structure proves valid.
        self.offset = self.table.len();
        let (Some(kind), Some(length)) = (u16_at(rest, 0), u16_at(rest, 2)) else {
            return error(ErrorKind::Trailing {
                bytes: rest.len(),
                entry: STRUCTURE_HEADER,
            });
        };
        let size = usize::from(length);
        let needed = Structure::needed(kind);
        if size < STRUCTURE_HEADER {
            return error(ErrorKind::EntryShort {
                kind,
                needed,
                length,
            });
        }
        let Some(bytes) = rest.get(..size) else {
            return error(ErrorKind::EntryOverrun {
                kind,
                length,
                left: rest.len(),
            });
        };
        self.offset = offset + size;
        match Structure::decode(bytes, offset) {
            Ok(value) => Some(Ok(Located { offset, value })),
            Err(kind) => error(kind),
        }
    }
}

impl FusedIterator for Structures<'_> {}
