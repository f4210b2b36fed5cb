//! The physical memory map, normalised.
//!
//! The memory map of a boot loader may overlap, be unsorted, be split into many pieces and not end
//! at page boundaries. [`MemoryMap::normalise`] converts it into a sorted list of whole pages
//! without overlaps. If two entries disagree about a page, the more restrictive one applies: an
//! unused page is harmless, but a device's page that is used as memory is not.

use arrayvec::ArrayVec;
use core::fmt;

mod placement;
mod region;
#[cfg(test)]
mod tests;

pub use placement::{Misplaced, Placement};
pub use region::{Region, RegionKind};

/// The size of a page, in bytes.
const PAGE_SIZE: u64 = 4096;

/// The end of the physical address space of any CPU: addresses have at most 52 bits (SDM vol. 3A,
/// 5.1.4).
pub const PHYSICAL_LIMIT: u64 = 1 << 52;

/// The error of a map that has no room for another entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapFull;

impl fmt::Display for MapFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the memory map is full: {} entries", MemoryMap::CAPACITY)
    }
}

impl core::error::Error for MapFull {}

/// `n` overlapping entries split into at most `2 * n - 1` pieces, so a list of this length has room
/// for the pieces of [`MemoryMap::CAPACITY`] entries.
const PIECES: usize = 2 * MemoryMap::CAPACITY;

type List = ArrayVec<Region, PIECES>;

/// The memory map. It takes 60 KiB, and [`MemoryMap::normalise`] and [`MemoryMap::reserve`] need
/// the same amount on the stack.
#[derive(Clone, Debug, Default)]
pub struct MemoryMap {
    list: List,
    dropped: usize,
}

impl MemoryMap {
    /// The number of entries that [`MemoryMap::push`] accepts. Firmware of servers lists about 300,
    /// and up to 1,024 are left after a loader has split them.
    pub const CAPACITY: usize = 1280;

    /// A map without entries.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            list: List::new_const(),
            dropped: 0,
        }
    }

    /// Adds an entry as received from the boot loader. It is checked only by
    /// [`MemoryMap::normalise`]; a full map is normalised to make room.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if the normalised map still has [`MemoryMap::CAPACITY`] regions.
    pub fn push(&mut self, region: Region) -> Result<(), MapFull> {
        if self.list.len() >= Self::CAPACITY {
            self.normalise();
        }
        if self.list.len() >= Self::CAPACITY {
            return Err(MapFull);
        }
        self.list.try_push(region).map_err(|_| MapFull)
    }

    /// Converts the entries into a sorted list of whole pages without overlaps, in which adjacent
    /// regions of one kind are merged.
    ///
    /// - Entries that are empty, wrap around 2^64 or begin at or above [`PHYSICAL_LIMIT`] are
    ///   dropped and counted ([`MemoryMap::dropped`]); entries that cross that limit are cut there.
    /// - Usable entries shrink to the whole pages within them. All others grow to the pages that
    ///   they touch.
    /// - Of several entries for a page, the most restrictive kind applies.
    ///
    /// Takes time in proportion to the number of entries times that of overlapping entries.
    pub fn normalise(&mut self) {
        let given = self.list.len();
        // In place, because a second list would take much stack.
        self.list.retain(|region| {
            let pages = whole_pages(*region);
            if let Some(pages) = pages {
                *region = pages;
            }
            pages.is_some()
        });
        self.dropped += given - self.list.len();

        self.list.sort_unstable_by_key(|region| region.start);
        let mut result = List::new();
        let (mut position, mut ended) = (0, 0);
        // No entry begins or ends between two edges, so each piece has one kind.
        while let (kind, Some(edge)) = piece_at(&self.list[ended..], position) {
            if let Some(kind) = kind {
                append(&mut result, Region::between(position, edge, kind));
            }
            position = edge;
            let mut rest = self.list[ended..].iter();
            ended += rest.position(|r| position < r.end()).unwrap_or_default();
        }
        self.list = result;
    }

    /// Reserves the usable pages of a range for `kind`: pages that already have another use keep
    /// it. The range grows to whole pages and is cut at [`PHYSICAL_LIMIT`]. The map is normalised
    /// first.
    ///
    /// # Errors
    ///
    /// [`MapFull`] if splitting a region needs more room than there is. The map is then only
    /// normalised.
    pub fn reserve(&mut self, start: u64, length: u64, kind: RegionKind) -> Result<(), MapFull> {
        self.normalise();
        let end = start
            .saturating_add(length)
            .min(PHYSICAL_LIMIT)
            .next_multiple_of(PAGE_SIZE);
        let start = start - start % PAGE_SIZE;
        if length == 0 || start >= end {
            return Ok(());
        }
        let mut result = List::new();
        for region in &self.list {
            let (from, to) = (region.start.max(start), region.end().min(end));
            if region.kind != RegionKind::Usable || from >= to {
                try_append(&mut result, *region)?;
                continue;
            }
            try_append(
                &mut result,
                Region::between(region.start, from, region.kind),
            )?;
            try_append(&mut result, Region::between(from, to, kind))?;
            try_append(&mut result, Region::between(to, region.end(), region.kind))?;
        }
        self.list = result;
        Ok(())
    }

    /// The regions; sorted and disjoint if the map is normalised.
    pub fn iter(&self) -> core::slice::Iter<'_, Region> {
        self.list.iter()
    }

    /// Number of entries that were dropped because they were invalid.
    #[must_use]
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Number of bytes of one kind. The map must be normalised.
    #[must_use]
    pub fn total(&self, kind: RegionKind) -> u64 {
        self.list
            .iter()
            .filter(|r| r.kind == kind)
            .map(|r| r.length)
            .sum()
    }
}

impl<'a> IntoIterator for &'a MemoryMap {
    type Item = &'a Region;
    type IntoIter = core::slice::Iter<'a, Region>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The whole pages of an entry, possibly none; `None` if the entry is invalid.
fn whole_pages(region: Region) -> Option<Region> {
    // The end is exclusive, so an end of 2^64 is valid; the last byte must not wrap.
    let last = region.start.checked_add(region.length.checked_sub(1)?)?;
    if region.start >= PHYSICAL_LIMIT {
        return None;
    }
    let end = last.min(PHYSICAL_LIMIT - 1) + 1;
    let (start, end) = if region.kind == RegionKind::Usable {
        (
            region.start.next_multiple_of(PAGE_SIZE),
            end - end % PAGE_SIZE,
        )
    } else {
        (
            region.start - region.start % PAGE_SIZE,
            end.next_multiple_of(PAGE_SIZE),
        )
    };
    Some(Region::between(start, end.max(start), region.kind))
}

/// The kind of memory at `position`, and the lowest start or end above it, in a list that is sorted
/// by start.
fn piece_at(list: &[Region], position: u64) -> (Option<RegionKind>, Option<u64>) {
    let (mut kind, mut edge) = (None, u64::MAX);
    for region in list {
        if region.start > position {
            edge = edge.min(region.start);
            break;
        }
        if position < region.end() {
            kind = kind.max(Some(region.kind));
            edge = edge.min(region.end());
        }
    }
    (kind, (edge != u64::MAX).then_some(edge))
}

/// Adds a piece after the last one, or extends it. For lists that have enough room.
fn append(list: &mut List, piece: Region) {
    let fits = try_append(list, piece);
    debug_assert!(
        fits.is_ok(),
        "{PIECES} pieces hold {} entries",
        MemoryMap::CAPACITY
    );
}

fn try_append(list: &mut List, piece: Region) -> Result<(), MapFull> {
    if piece.length == 0 {
        return Ok(());
    }
    match list.last_mut() {
        Some(below) if below.kind == piece.kind && below.end() == piece.start => {
            below.length += piece.length;
            Ok(())
        }
        _ => list.try_push(piece).map_err(|_| MapFull),
    }
}
