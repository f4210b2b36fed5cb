//! Page-table walker on the host, which reads the guest's memory.
//!
//! Written from the manual (SDM vol. 3A, 5.5, "4-Level Paging and 5-Level Paging"), without code
//! shared with the kernel, so that it is an independent check.

#[cfg(test)]
mod tests;

use tocsin_tools::{Session, SessionError};

/// Bits of an entry (SDM vol. 3A, table 5-15 and following).
const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
const USER: u64 = 1 << 2;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// The access rights of an entry combined with all entries above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// Writes.
    pub write: bool,
    /// Instruction fetches.
    pub execute: bool,
    /// Accesses from ring 3.
    pub user: bool,
}

/// All rights, before any table restricts them.
const ALL: Rights = Rights {
    write: true,
    execute: true,
    user: true,
};

/// A contiguous range of linear addresses with the same rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// First linear address.
    pub start: u64,
    /// Size in bytes.
    pub size: u64,
    /// Physical address of the first byte.
    pub physical: u64,
    /// The access rights.
    pub rights: Rights,
}

impl Mapping {
    /// Whether `address` is in the range.
    #[must_use]
    pub fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.start) < self.size
    }

    /// Whether the range maps the physical address.
    #[must_use]
    pub fn maps(&self, physical: u64) -> bool {
        physical.wrapping_sub(self.physical) < self.size
    }

    fn continues(&self, next: &Self) -> bool {
        self.start + self.size == next.start
            && self.physical + self.size == next.physical
            && self.rights == next.rights
    }
}

/// All mappings of the four-level tables at `cr3`, by ascending linear address.
///
/// # Errors
///
/// QEMU does not return the guest's memory.
pub fn walk(session: &Session, cr3: u64) -> Result<Vec<Mapping>, SessionError> {
    let mut found = Vec::new();
    let mut read = |table| session.physical_memory(table, 4096);
    walk_table(&mut read, cr3 & ADDRESS, 4, 0, ALL, &mut found)?;
    Ok(found)
}

fn walk_table<E>(
    read: &mut impl FnMut(u64) -> Result<Vec<u8>, E>,
    table: u64,
    level: u32,
    base: u64,
    above: Rights,
    found: &mut Vec<Mapping>,
) -> Result<(), E> {
    let size = 4096_u64 << (9 * (level - 1));
    let bytes = read(table)?;
    for (index, entry) in (0_u64..).zip(bytes.as_chunks().0) {
        let entry = u64::from_le_bytes(*entry);
        if entry & PRESENT == 0 {
            continue;
        }
        let start = canonical(base + index * size);
        let rights = Rights {
            write: above.write && entry & WRITABLE != 0,
            execute: above.execute && entry & NO_EXECUTE == 0,
            user: above.user && entry & USER != 0,
        };
        if level > 1 && entry & LARGE == 0 {
            walk_table(read, entry & ADDRESS, level - 1, start, rights, found)?;
            continue;
        }
        // In the entry of a large page, the low bits of the address contain PAT and reserved bits.
        let physical = entry & ADDRESS & !(size - 1);
        let mapping = Mapping {
            start,
            size,
            physical,
            rights,
        };
        match found.last_mut() {
            Some(last) if last.continues(&mapping) => last.size += size,
            _ => found.push(mapping),
        }
    }
    Ok(())
}

/// The canonical form: bit 47 copied into the bits above it (SDM vol. 1, 3.3.7.1).
fn canonical(address: u64) -> u64 {
    ((address << 16).cast_signed() >> 16).cast_unsigned()
}
