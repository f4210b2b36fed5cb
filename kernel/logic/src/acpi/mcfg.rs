//! The table of PCI configuration memory (PCI Firmware Specification 3.3, 4.1.2).

use super::sdt::{self, Header};
use super::{Error, ErrorKind, Located, Signature, bytes_at, u16_at, u64_at};
use arrayvec::ArrayVec;
use core::fmt;
use core::iter::FusedIterator;

/// The bytes before the first entry: the header and eight reserved ones.
const FIXED_SIZE: usize = 44;
/// The bytes of an entry.
const ENTRY_SIZE: usize = 16;
/// The most ranges that the walk keeps apart.
pub const MAX_SEGMENTS: usize = 128;

/// An MCFG.
#[derive(Clone, Copy, Debug)]
pub struct Mcfg<'a> {
    /// Its header.
    pub header: Header,
    table: &'a [u8],
}

/// A range of buses whose configuration space lies in memory: 4 KiB for each
/// function, 1 MiB for each bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Physical address at which bus 0 lies, or would lie.
    pub base: u64,
    /// The PCI segment group.
    pub group: u16,
    /// The first bus.
    pub first_bus: u8,
    /// The last bus.
    pub last_bus: u8,
}

impl Segment {
    /// Physical address of a function's 4 KiB; `None` outside the range, for a
    /// device above 31 or a function above 7.
    #[must_use]
    pub const fn function(&self, bus: u8, device: u8, function: u8) -> Option<u64> {
        if bus < self.first_bus || bus > self.last_bus || device > 31 || function > 7 {
            return None;
        }
        Some(self.base + ((bus as u64) << 20 | (device as u64) << 15 | (function as u64) << 12))
    }

    /// Physical address of the range, and its bytes.
    #[must_use]
    pub const fn memory(&self) -> (u64, u64) {
        let start = self.base + ((self.first_bus as u64) << 20);
        let buses = self.last_bus as u64 - self.first_bus as u64 + 1;
        (start, buses << 20)
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "segment {} buses {} to {} at {:#x}",
            self.group,
            self.first_bus,
            self.last_bus,
            self.memory().0
        )
    }
}

/// Checks an MCFG as a whole. Its entries are checked as they are walked.
///
/// # Errors
///
/// Those of [`sdt::check`], [`ErrorKind::Signature`], and [`ErrorKind::Length`]
/// below 44 bytes.
pub fn parse(bytes: &[u8]) -> Result<Mcfg<'_>, Error> {
    let (header, table) = sdt::expect(bytes, Signature::MCFG, FIXED_SIZE)?;
    Ok(Mcfg { header, table })
}

impl<'a> Mcfg<'a> {
    /// The ranges, in the table's order. One that cannot be used gives an error in
    /// its place:
    ///
    /// - [`ErrorKind::NoAddress`], and [`ErrorKind::Address`] if the base is not
    ///   aligned to 1 MiB or some of the range lies above 2^52;
    /// - [`ErrorKind::BusRange`], if the first bus is above the last;
    /// - [`ErrorKind::BusOverlap`], if an earlier one has some of its buses;
    /// - [`ErrorKind::TooMany`] behind [`MAX_SEGMENTS`] good ones, as the last item;
    /// - [`ErrorKind::Trailing`], as the last item.
    #[must_use]
    pub const fn segments(&self) -> Segments<'a> {
        Segments {
            table: self.table,
            offset: FIXED_SIZE,
            seen: ArrayVec::new_const(),
        }
    }
}

/// The iterator of [`Mcfg::segments`].
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    table: &'a [u8],
    /// Where the next entry begins; the table's length at the end of the walk.
    offset: usize,
    /// The group, first and last bus of those already given out.
    seen: ArrayVec<(u16, u8, u8), MAX_SEGMENTS>,
}

impl Segments<'_> {
    /// Reads an entry and checks it against those before.
    fn read(&mut self, entry: &[u8; ENTRY_SIZE]) -> Result<Segment, ErrorKind> {
        let [first_bus, last_bus] = bytes_at(entry, 10).unwrap_or_default();
        let segment = Segment {
            base: u64_at(entry, 0).unwrap_or_default(),
            group: u16_at(entry, 8).unwrap_or_default(),
            first_bus,
            last_bus,
        };
        let (first, last) = (first_bus, last_bus);
        if first > last {
            return Err(ErrorKind::BusRange { first, last });
        }
        let base = segment.base;
        if base == 0 {
            return Err(ErrorKind::NoAddress);
        }
        if !base.is_multiple_of(1 << 20) || base >= 1 << 52 || base + (256 << 20) > 1 << 52 {
            return Err(ErrorKind::Address(base));
        }
        let overlaps = |&(group, from, to): &(u16, u8, u8)| {
            group == segment.group && from <= last && first <= to
        };
        if self.seen.iter().any(overlaps) {
            return Err(ErrorKind::BusOverlap {
                segment: segment.group,
                first,
                last,
            });
        }
        if self
            .seen
            .try_push((segment.group, first_bus, last_bus))
            .is_err()
        {
            self.offset = self.table.len();
            return Err(ErrorKind::TooMany { max: MAX_SEGMENTS });
        }
        Ok(segment)
    }
}

impl Iterator for Segments<'_> {
    type Item = Result<Located<Segment>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset;
        let rest = self.table.get(offset..).filter(|rest| !rest.is_empty())?;
        let result = if let Some(entry) = rest.first_chunk() {
            self.offset += ENTRY_SIZE;
            self.read(entry)
        } else {
            self.offset = self.table.len();
            Err(ErrorKind::Trailing {
                bytes: rest.len(),
                entry: ENTRY_SIZE,
            })
        };
        Some(match result {
            Ok(value) => Ok(Located { offset, value }),
            Err(kind) => Err(Error::new(Signature::MCFG, offset, kind)),
        })
    }
}

impl FusedIterator for Segments<'_> {}
