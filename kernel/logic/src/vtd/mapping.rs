//! Second-stage page tables: the device addresses that a domain may use (3.7, 9.8).

use super::{Capability, Command, DomainId, Levels, Memory, PAGE};
use core::fmt;
use core::ops::Range;

/// The address bits of an entry.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// R.
const READ: u64 = 1 << 0;
/// W.
const WRITE: u64 = 1 << 1;
/// PS: the entry maps a page, above the last level.
const LARGE: u64 = 1 << 7;

/// The permitted accesses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rights {
    /// Reads by the device.
    Read,
    /// Writes by the device.
    Write,
    /// Both.
    ReadWrite,
}

impl Rights {
    const fn bits(self) -> u64 {
        match self {
            Self::Read => READ,
            Self::Write => WRITE,
            Self::ReadWrite => READ | WRITE,
        }
    }

    const fn from_bits(entry: u64) -> Option<Self> {
        match entry & (READ | WRITE) {
            READ => Some(Self::Read),
            WRITE => Some(Self::Write),
            0 => None,
            _ => Some(Self::ReadWrite),
        }
    }

    /// Whether reads are permitted.
    #[must_use]
    pub const fn reads(self) -> bool {
        self.bits() & READ != 0
    }

    /// Whether writes are permitted.
    #[must_use]
    pub const fn writes(self) -> bool {
        self.bits() & WRITE != 0
    }
}

/// A mapped page of some size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// The device address of the page.
    pub address: u64,
    /// The physical address of the page.
    pub physical: u64,
    /// The size in bytes: 4 KiB, 2 MiB or 1 GiB.
    pub size: u64,
    /// The permitted accesses.
    pub rights: Rights,
}

/// The page tables of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tables {
    /// Physical address of the top-level table.
    pub root: u64,
    /// The number of levels.
    pub levels: Levels,
    /// The domain.
    pub domain: DomainId,
}

/// The reason why a range was not mapped or unmapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError<E> {
    /// The addresses are no multiples of the page size, or exceed what the tables or the unit
    /// translate.
    Range,
    /// A page of the range is mapped already. Nothing has been mapped.
    Mapped(u64),
    /// A page of the range is not mapped, or belongs to a larger page. Nothing has been unmapped.
    NotMapped(u64),
    /// There is no memory for a table. Nothing has been mapped.
    NoMemory,
    /// A command failed. The tables have been changed, but the unit may still use the old entries.
    Command(E),
}

impl<E: fmt::Display> fmt::Display for MapError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range => f.write_str("the addresses are no pages, or exceed the tables"),
            Self::Mapped(address) => write!(f, "the page at {address:#x} is mapped already"),
            Self::NotMapped(address) => write!(f, "the page at {address:#x} is not mapped"),
            Self::NoMemory => f.write_str("there is no memory for a table"),
            Self::Command(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for MapError<E> {}

/// The size of the page or of the table's range at a level, 1 being the last.
const fn size(level: u8) -> u64 {
    1 << (12 + 9 * (level - 1))
}

/// The address of the entry for a device address in a table of this level.
const fn entry(table: u64, level: u8, address: u64) -> u64 {
    table + (address / size(level) % 512) * 8
}

impl Tables {
    /// Finds the entry that maps an address, the first that is not present, or that of the `lowest`
    /// level: its address, its level and its value.
    fn find<M: Memory>(&self, memory: &M, address: u64, lowest: u8) -> (u64, u8, u64) {
        let mut table = self.root;
        let mut level = self.levels.count();
        loop {
            let place = entry(table, level, address);
            let value = memory.read(place);
            if level == lowest || value & (READ | WRITE) == 0 || value & LARGE != 0 {
                return (place, level, value);
            }
            table = value & ADDRESS;
            level -= 1;
        }
    }

    /// Translates an address, as the tables in memory do.
    pub fn translate<M: Memory>(&self, memory: &M, address: u64) -> Option<Mapped> {
        if address >> self.levels.bits() != 0 {
            return None;
        }
        let (_, level, value) = self.find(memory, address, 1);
        let rights = Rights::from_bits(value)?;
        let size = size(level);
        Some(Mapped {
            address: address & !(size - 1),
            physical: value & ADDRESS & !(size - 1),
            size,
            rights,
        })
    }

    fn check<E>(&self, capability: Capability, range: &Range<u64>) -> Result<(), MapError<E>> {
        let bits = self.levels.bits().min(capability.address_bits());
        let is_valid = range.start.is_multiple_of(PAGE)
            && range.end.is_multiple_of(PAGE)
            && range.start < range.end
            && range.end <= 1 << bits;
        if is_valid {
            Ok(())
        } else {
            Err(MapError::Range)
        }
    }

    /// The level of the largest page that can map the beginning of a range.
    fn level<M: Memory>(
        &self,
        memory: &M,
        capability: Capability,
        range: &Range<u64>,
        physical: u64,
    ) -> u8 {
        let fits = |level: u8| {
            let both = range.start | physical;
            both.is_multiple_of(size(level)) && range.end - range.start >= size(level)
        };
        // Tables remain when their pages are unmapped, and are used again.
        let has_table = |level: u8| {
            let (_, found, value) = self.find(memory, range.start, level);
            found == level && value & (READ | WRITE) != 0 && value & LARGE == 0
        };
        let sizes = [(3, capability.maps_1g()), (2, capability.maps_2m())];
        let largest = sizes
            .into_iter()
            .find(|&(level, is_supported)| is_supported && fits(level) && !has_table(level));
        largest.map_or(1, |(level, _)| level)
    }

    /// Maps a range of device addresses to physical memory, with the largest pages that fit. When
    /// this returns, the unit translates all of them.
    ///
    /// # Errors
    ///
    /// [`MapError`].
    pub fn map<M: Memory>(
        &self,
        memory: &mut M,
        capability: Capability,
        range: Range<u64>,
        physical: u64,
        rights: Rights,
    ) -> Result<(), MapError<M::Error>> {
        self.check(capability, &range)?;
        let end = physical.checked_add(range.end - range.start);
        if !physical.is_multiple_of(PAGE) || end.is_none_or(|end| end > 1 << 52) {
            return Err(MapError::Range);
        }
        // First all tables, then the entries, so that nothing is mapped without memory for all.
        for is_ready in [false, true] {
            let (mut left, mut to) = (range.clone(), physical);
            while !left.is_empty() {
                let level = self.level(memory, capability, &left, to);
                if is_ready {
                    let (place, ..) = self.find(memory, left.start, level);
                    let large = if level > 1 { LARGE } else { 0 };
                    memory.write(place, to | large | rights.bits());
                } else {
                    self.prepare(memory, left.start, level)?;
                }
                left.start += size(level);
                to += size(level);
            }
        }
        if capability.caching_mode() {
            self.invalidate(memory, capability, &range)
                .map_err(MapError::Command)?;
        }
        Ok(())
    }

    /// Creates the tables above an entry, which must not be present.
    fn prepare<M: Memory>(
        &self,
        memory: &mut M,
        address: u64,
        level: u8,
    ) -> Result<(), MapError<M::Error>> {
        loop {
            let (place, found, value) = self.find(memory, address, level);
            if value & (READ | WRITE) != 0 {
                return Err(MapError::Mapped(address));
            }
            if found == level {
                return Ok(());
            }
            let table = memory.allocate().ok_or(MapError::NoMemory)?;
            memory.write(place, table | READ | WRITE);
        }
    }

    /// Unmaps a range of device addresses, which must consist of whole mapped pages. When this
    /// returns, the unit translates none of them, and all accesses to them have been completed. The
    /// tables remain.
    ///
    /// # Errors
    ///
    /// [`MapError`].
    pub fn unmap<M: Memory>(
        &self,
        memory: &mut M,
        capability: Capability,
        range: Range<u64>,
    ) -> Result<(), MapError<M::Error>> {
        self.check(capability, &range)?;
        let mut address = range.start;
        while address < range.end {
            let page = self.translate(memory, address);
            let page = page.filter(|it| it.address == address && it.size <= range.end - address);
            address += page.ok_or(MapError::NotMapped(address))?.size;
        }
        let mut address = range.start;
        while address < range.end {
            let (place, level, _) = self.find(memory, address, 1);
            memory.write(place, 0);
            address += size(level);
        }
        self.invalidate(memory, capability, &range)
            .map_err(MapError::Command)
    }

    fn invalidate<M: Memory>(
        &self,
        memory: &mut M,
        capability: Capability,
        range: &Range<u64>,
    ) -> Result<(), M::Error> {
        let pages = (range.end - range.start) / PAGE;
        let mask = capability.page_mask();
        let block = mask.and_then(|most| Command::block(range.start, pages, most));
        let domain = self.domain;
        let command = match block {
            Some((address, mask)) => Command::Pages {
                domain,
                address,
                mask,
                // A new table may replace an entry that is cached as not present.
                leaf_only: false,
            },
            None => Command::Domain(domain),
        };
        memory.execute(&[command])
    }

    /// The mapped pages, in the order of their addresses, from `start` on.
    pub fn pages<M: Memory>(&self, memory: &M, start: u64) -> impl Iterator<Item = Mapped> {
        let mut next = start;
        core::iter::from_fn(move || {
            while next >> self.levels.bits() == 0 {
                let (_, level, value) = self.find(memory, next, 1);
                let page = self.translate(memory, next);
                let begin = next & !(size(level) - 1);
                next = begin + size(level);
                if page.is_some() {
                    return page;
                }
                debug_assert!(value & (READ | WRITE) == 0);
            }
            None
        })
    }
}
