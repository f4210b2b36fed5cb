//! The MCFG table, which describes memory-mapped PCI configuration space (PCI Firmware
//! Specification 3.3, 4.1.2).

use super::sdt::{self, Header};
use super::{Error, ErrorKind, Located, Signature, bytes_at, u16_at, u64_at};
use arrayvec::ArrayVec;
use core::fmt;
use core::iter::FusedIterator;

/// The size of the part before the first entry, in bytes: the header and eight reserved bytes.
const FIXED_SIZE: usize = 44;
/// The size of an entry, in bytes.
const ENTRY_SIZE: usize = 16;
/// The maximum number of ranges that the walk checks for overlaps.
pub const MAX_SEGMENTS: usize = 128;

/// An MCFG.
#[derive(Clone, Copy, Debug)]
pub struct Mcfg<'a> {
    /// The table header.
    pub header: Header,
    table: &'a [u8],
}

/// A bus range with memory-mapped configuration space: 4 KiB for each function, 1 MiB for each bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Physical address that corresponds to bus 0, even if the range does not include bus 0.
    pub base: u64,
    /// The PCI segment group.
    pub group: u16,
    /// The first bus.
    pub first_bus: u8,
    /// The last bus.
    pub last_bus: u8,
}

impl Segment {
    /// Physical address of the 4 KiB of a function; `None` for a bus outside the range, a device
    /// above 31 or a function above 7.
    #[must_use]
    pub const fn function(&self, bus: u8, device: u8, function: u8) -> Option<u64> {
        if bus < self.first_bus || bus > self.last_bus || device > 31 || function > 7 {
            return None;
        }
        Some(self.base + ((bus as u64) << 20 | (device as u64) << 15 | (function as u64) << 12))
    }

    /// Physical address and size in bytes of the range.
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

/// Checks the MCFG as a whole. Its entries are checked during the walk.
///
/// # Errors
///
/// The errors of [`sdt::check`], [`ErrorKind::Signature`], and [`ErrorKind::Length`] below 44
/// bytes.
pub fn parse(bytes: &[u8]) -> Result<Mcfg<'_>, Error> {
    let (header, table) = sdt::expect(bytes, Signature::MCFG, FIXED_SIZE)?;
    Ok(Mcfg { header, table })
}

impl<'a> Mcfg<'a> {
    /// The ranges, in table order. An invalid entry yields an error in its place:
    ///
    /// - [`ErrorKind::NoAddress`], and [`ErrorKind::Address`] if the base is not aligned to 1 MiB
    ///   or the 256 MiB that start there extend beyond 2^52;
    /// - [`ErrorKind::BusRange`] if the first bus is greater than the last;
    /// - [`ErrorKind::BusOverlap`] if the range overlaps an earlier one;
    /// - [`ErrorKind::TooMany`] after [`MAX_SEGMENTS`] valid ranges, as the last item;
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
    /// The offset of the next entry; the table length at the end of the walk.
    offset: usize,
    /// The group, first bus and last bus of the ranges already returned.
    seen: ArrayVec<(u16, u8, u8), MAX_SEGMENTS>,
}

impl Segments<'_> {
    /// Reads an entry and checks it against the earlier ones.
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
