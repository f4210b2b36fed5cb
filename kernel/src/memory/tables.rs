//! Page tables: walks and changes of single entries.
//!
//! An entry is an atomic word, for this code as for the CPU's page walks. No exclusive reference to
//! a table ever exists: a fault report or an NMI handler may walk the tables while another CPU
//! changes them, and reads each entry as it is before or after a change. Only changes exclude each
//! other, by the lock in [`paging`](super::paging).

use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::paging::{Block, BlockSize};
use x86_64::structures::paging::PageTableFlags;

use super::MemoryError;
use super::frames::FRAME;

/// Mask of the physical address in an entry, bits 51:12 (SDM vol. 3A, table 5-15 and following).
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const PRESENT: u64 = PageTableFlags::PRESENT.bits();
const HUGE: u64 = PageTableFlags::HUGE_PAGE.bits();

/// Flags of entries that refer to other tables: all rights that a page below may need. The use of a
/// page may change, and a CPU may continue to use cached entries without rights that were added
/// later (SDM vol. 3A, 5.10.3).
const TABLE: u64 = PRESENT | PageTableFlags::WRITABLE.bits();

/// The level of the top-level table; entries of level 1 map 4 KiB.
const TOP: u32 = 4;

#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

impl Table {
    /// Index of the entry for a virtual address in a table of this level.
    fn entry(&self, address: u64, level: u32) -> &AtomicU64 {
        &self.0[(address >> (12 + 9 * (level - 1))) as usize & 511]
    }
}

/// A page-table hierarchy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    /// Physical address of the top-level table.
    root: u64,
    /// The offset from a table's physical to its virtual address.
    offset: u64,
}

/// An entry that maps a page.
pub(super) struct Leaf {
    entry: &'static AtomicU64,
    value: u64,
    level: u32,
}

/// A page, as passed by [`Tables::for_each`]: its size in bytes, and the rights that its entry and
/// the entries above permit.
pub(super) struct Rights {
    pub(super) bytes: u64,
    pub(super) writable: bool,
    pub(super) executable: bool,
    pub(super) user: bool,
}

impl Tables {
    /// # Safety
    ///
    /// `root` must be the physical address of a top-level table. It and the tables that its entries
    /// refer to must be mapped at `offset`, never be freed, and be used through this type only.
    pub(super) unsafe fn new(root: u64, offset: u64) -> Self {
        Self { root, offset }
    }

    fn table(&self, physical: u64) -> &'static Table {
        // SAFETY: Callers pass the root, or an address from a present entry that maps no page, so
        // it is a table; the caller of `new` guarantees the rest. The reference is a shared one, of
        // atomics.
        unsafe { &*((physical + self.offset) as *const Table) }
    }

    /// The entry that maps an address.
    pub(super) fn find(&self, address: u64) -> Option<Leaf> {
        let mut table = self.table(self.root);
        for level in (1..=TOP).rev() {
            let entry = table.entry(address, level);
            let value = entry.load(Ordering::Acquire);
            if value & PRESENT == 0 {
                return None;
            }
            if level == 1 || value & HUGE != 0 {
                return Some(Leaf {
                    entry,
                    value,
                    level,
                });
            }
            table = self.table(value & ADDRESS);
        }
        None
    }

    /// Maps a page that is not mapped. Missing tables use zeroed frames from `frame`, which must be
    /// mapped at the offset. The caller must exclude other changes.
    pub(super) fn map(
        &self,
        block: Block,
        flags: PageTableFlags,
        frame: &mut dyn FnMut() -> Option<u64>,
    ) -> Result<(), MemoryError> {
        let mapped = MemoryError::AlreadyMapped(block.address);
        let (leaf, size) = match block.size {
            BlockSize::Page4KiB => (1, 0),
            BlockSize::Page2MiB => (2, HUGE),
            BlockSize::Page1GiB => (3, HUGE),
        };
        let mut table = self.table(self.root);
        for level in (leaf + 1..=TOP).rev() {
            let entry = table.entry(block.address, level);
            let mut value = entry.load(Ordering::Relaxed);
            if value & PRESENT == 0 {
                value = frame().ok_or(MemoryError::OutOfFrames(FRAME))? | TABLE;
                // Release: a walk that reads the entry observes a zeroed table.
                entry.store(value, Ordering::Release);
            } else if value & HUGE != 0 {
                return Err(mapped);
            }
            table = self.table(value & ADDRESS);
        }
        let entry = table.entry(block.address, leaf);
        if entry.load(Ordering::Relaxed) & PRESENT != 0 {
            return Err(mapped);
        }
        entry.store(block.physical | flags.bits() | size, Ordering::Release);
        Ok(())
    }

    /// Calls `visit` with every page.
    pub(super) fn for_each(&self, visit: &mut impl FnMut(Rights)) {
        self.visit(
            self.root,
            TOP,
            TABLE | PageTableFlags::USER_ACCESSIBLE.bits(),
            visit,
        );
    }

    /// Visits the pages below a table; `above` are the rights that the entries above it permit.
    fn visit(&self, table: u64, level: u32, above: u64, visit: &mut impl FnMut(Rights)) {
        const USER: u64 = PageTableFlags::USER_ACCESSIBLE.bits();
        const WRITABLE: u64 = PageTableFlags::WRITABLE.bits();
        const NO_EXECUTE: u64 = PageTableFlags::NO_EXECUTE.bits();
        let entries = self.table(table).0.iter();
        for value in entries.map(|entry| entry.load(Ordering::Acquire)) {
            if value & PRESENT == 0 {
                continue;
            }
            let rights = above & value & (WRITABLE | USER) | (above | value) & NO_EXECUTE;
            if level > 1 && value & HUGE == 0 {
                self.visit(value & ADDRESS, level - 1, rights, visit);
                continue;
            }
            visit(Rights {
                bytes: FRAME << (9 * (level - 1)),
                writable: rights & WRITABLE != 0,
                executable: rights & NO_EXECUTE == 0,
                user: rights & USER != 0,
            });
        }
    }
}

impl Leaf {
    /// Whether the entry maps 4 KiB.
    pub(super) fn is_small(&self) -> bool {
        self.level == 1
    }

    pub(super) fn flags(&self) -> PageTableFlags {
        PageTableFlags::from_bits_truncate(self.value)
    }

    /// The physical address of the first byte of the page.
    pub(super) fn physical(&self) -> u64 {
        // Bit 12 is the PAT bit in the entry of a larger page.
        self.value & ADDRESS & !((FRAME << (9 * (self.level - 1))) - 1)
    }

    /// Removes the mapping. The caller must exclude other changes and flush the TLBs.
    pub(super) fn unmap(&self) {
        self.entry.store(0, Ordering::Release);
    }

    /// Changes the flags of a 4 KiB page. The caller must exclude other changes and flush the TLBs.
    pub(super) fn protect(&self, flags: PageTableFlags) {
        self.entry
            .store(self.value & ADDRESS | flags.bits(), Ordering::Release);
    }
}
