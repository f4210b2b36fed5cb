//! The page tables of the kernel: built before they are loaded, W^X throughout.

use core::ops::Range;

use spin::Once;
use tocsin_logic::layout::{DIRECT_MAP, DIRECT_MAP_SIZE};
use tocsin_logic::memory_map::{MemoryMap, RegionKind};
use tocsin_logic::paging::{Block, BlockSize, blocks};
use x86_64::registers::control::{Cr3, Cr3Flags, Cr4, Cr4Flags};
use x86_64::structures::paging::mapper::{MapToError, TranslateResult};
use x86_64::structures::paging::{
    FrameAllocator, Mapper, OffsetPageTable, Page, PageSize, PageTable, PageTableFlags, PhysFrame,
    Size1GiB, Size2MiB, Size4KiB, Translate,
};
use x86_64::{PhysAddr, VirtAddr};

use super::{MemoryError, frames};
use crate::boot::BootInfo;
use crate::boot::image::{self, Access};
use crate::hw::control::Features;
use crate::hw::processor;
use crate::sync::IrqMutex;

/// Physical address of the top-level table, for the other CPUs' CR3.
static ROOT: Once<u64> = Once::new();

/// Held while the tables change.
static CHANGES: IrqMutex<()> = IrqMutex::new(());

/// What a mapping is for; decides its flags and its cache type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Code: readable and executable.
    Code,
    /// Constants and firmware tables: read-only.
    Constant,
    /// Memory: read and written.
    Data,
    /// Device registers: read and written, uncached, in order.
    Device,
}

impl Use {
    pub(super) fn flags(self) -> PageTableFlags {
        let mut flags = PageTableFlags::PRESENT | PageTableFlags::GLOBAL;
        if self != Self::Code && Features::get().contains(Features::NX) {
            flags |= PageTableFlags::NO_EXECUTE;
        }
        match self {
            Self::Code | Self::Constant => {}
            Self::Data => flags |= PageTableFlags::WRITABLE,
            // PAT entry 3: uncached, whatever the MTRRs say.
            Self::Device => {
                flags |= PageTableFlags::WRITABLE
                    | PageTableFlags::NO_CACHE
                    | PageTableFlags::WRITE_THROUGH;
            }
        }
        flags
    }
}

/// Flags of entries that lead to other tables: all that a page below may have. Rights that came to them
/// later a processor might not see (SDM vol. 3A, 5.10.3), and a page may change its use.
const TABLES: PageTableFlags = PageTableFlags::PRESENT.union(PageTableFlags::WRITABLE);

/// Builds the tables and loads them. Returns the physical range that they took.
///
/// # Errors
///
/// [`MemoryError::NoRoomForTables`], if memory below 4 GiB is too small for them.
///
/// # Safety
///
/// See [`super::init`].
pub(super) unsafe fn init(info: &BootInfo) -> Result<Range<u64>, MemoryError> {
    let region = table_region(&info.memory).ok_or(MemoryError::NoRoomForTables)?;
    let start = region.start;
    let mut tables = FirstTables {
        region,
        offset: info.loader_direct_map,
    };
    let root = tables
        .allocate_frame()
        .ok_or(MemoryError::NoRoomForTables)?;
    let root_table = (root.start_address().as_u64() + tables.offset) as *mut PageTable;
    // SAFETY: 1. The frame is zeroed, ours alone, and mapped at the loader's offset.
    let root_table = unsafe { &mut *root_table };
    // SAFETY: 1. All tables below the root will come from `tables` and so are mapped at this offset.
    let mut mapper = unsafe { OffsetPageTable::new(root_table, VirtAddr::new(tables.offset)) };

    let image = image::virtual_range();
    for section in image::sections() {
        let usage = match section.access {
            Access::Execute => Use::Code,
            Access::Read => Use::Constant,
            Access::Write => Use::Data,
        };
        let physical = info.image + (section.range.start - image.start);
        map(&mut mapper, &mut tables, section.range, physical, usage)?;
    }
    let image_end = info.image + (image.end - image.start);
    for memory in info.memory.iter().filter(|region| is_memory(region.kind)) {
        let end = memory.start + memory.length;
        for (start, end) in super::without(memory.start, end, &(info.image..image_end)) {
            let addresses = DIRECT_MAP + start..DIRECT_MAP + end;
            map(&mut mapper, &mut tables, addresses, start, Use::Data)?;
        }
    }

    // Global entries of the loader's tables outlive a write to CR3, but not PGE (SDM vol. 3A, 5.10.4.1).
    let cr4 = Cr4::read();
    // SAFETY: 1. Without PGE, global pages are just pages.
    unsafe { Cr4::write(cr4 & !Cr4Flags::PAGE_GLOBAL) };
    // SAFETY: 1. The new tables map the image, this code and stack included, as it was.
    // 2. Nothing of the loader's mappings is used from here on.
    unsafe { Cr3::write(root, Cr3Flags::empty()) };
    // SAFETY: 1. As it was.
    unsafe { Cr4::write(cr4) };

    ROOT.call_once(|| root.start_address().as_u64());
    Ok(start..tables.region.start)
}

/// Whether regions of this kind are in the direct map from the start.
fn is_memory(kind: RegionKind) -> bool {
    super::is_free(kind) || matches!(kind, RegionKind::Kernel | RegionKind::AcpiReclaimable)
}

/// The largest usable region within what every loader maps: 1 MiB to 4 GiB.
fn table_region(memory: &MemoryMap) -> Option<Range<u64>> {
    memory
        .iter()
        .filter(|region| region.kind == RegionKind::Usable)
        .map(|region| region.start.max(1 << 20)..(region.start + region.length).min(1 << 32))
        .filter(|range| range.start < range.end)
        .max_by_key(|range| range.end - range.start)
}

/// Frames for the first tables, reached through the loader's direct map.
struct FirstTables {
    region: Range<u64>,
    offset: u64,
}

// SAFETY: 1. Each frame is handed out once. 2. The region is free memory.
unsafe impl FrameAllocator<Size4KiB> for FirstTables {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let frame = self.region.start;
        if frame + frames::FRAME > self.region.end {
            return None;
        }
        self.region.start += frames::FRAME;
        // SAFETY: 1. Usable memory, mapped by the loader at this offset, and nobody else's.
        unsafe { ((frame + self.offset) as *mut u8).write_bytes(0, frames::FRAME as usize) };
        PhysFrame::from_start_address(PhysAddr::new(frame)).ok()
    }
}

/// Frames for later tables, from the allocator.
pub(super) struct LaterTables;

// SAFETY: 1. Each frame comes from the frame allocator and is never given back.
unsafe impl FrameAllocator<Size4KiB> for LaterTables {
    fn allocate_frame(&mut self) -> Option<PhysFrame> {
        let frame = frames::allocate_zeroed_page().ok()?;
        PhysFrame::from_start_address(PhysAddr::new(frame)).ok()
    }
}

/// Maps `addresses` (page-aligned) to physical memory from `physical` on, in the largest
/// pages that fit.
pub(super) fn map(
    mapper: &mut OffsetPageTable<'_>,
    tables: &mut impl FrameAllocator<Size4KiB>,
    addresses: Range<u64>,
    physical: u64,
    usage: Use,
) -> Result<(), MemoryError> {
    let gigabyte_pages = Features::get().contains(Features::GIGABYTE_PAGES);
    for block in blocks(addresses, physical, gigabyte_pages) {
        let flags = usage.flags();
        match block.size {
            BlockSize::Page4KiB => map_block::<Size4KiB>(mapper, tables, block, flags)?,
            BlockSize::Page2MiB => map_block::<Size2MiB>(mapper, tables, block, flags)?,
            BlockSize::Page1GiB => map_block::<Size1GiB>(mapper, tables, block, flags)?,
        }
    }
    Ok(())
}

fn map_block<S>(
    mapper: &mut OffsetPageTable<'_>,
    tables: &mut impl FrameAllocator<Size4KiB>,
    block: Block,
    flags: PageTableFlags,
) -> Result<(), MemoryError>
where
    S: PageSize,
    for<'a> OffsetPageTable<'a>: Mapper<S>,
{
    let page = Page::<S>::containing_address(VirtAddr::new(block.address));
    let frame = PhysFrame::<S>::containing_address(PhysAddr::new(block.physical));
    // SAFETY: 1. The callers map the image as it is linked, free memory, or device registers
    // that their caller vouches for; no page that exists changes.
    match unsafe { mapper.map_to_with_table_flags(page, frame, flags, TABLES, tables) } {
        // The page was not present before, and the processor caches no absent pages.
        Ok(flush) => flush.ignore(),
        Err(MapToError::FrameAllocationFailed) => {
            return Err(MemoryError::OutOfFrames(frames::FRAME));
        }
        Err(MapToError::ParentEntryHugePage | MapToError::PageAlreadyMapped(_)) => {
            return Err(MemoryError::AlreadyMapped(block.address));
        }
    }
    Ok(())
}

/// The tables in force, for reading or, under [`CHANGES`], for adding to.
fn kernel_tables() -> Option<OffsetPageTable<'static>> {
    let root = frames::pointer::<PageTable>(*ROOT.get()?);
    // SAFETY: 1. The root is in usable memory, which the direct map shows. 2. Entries change only under
    // `CHANGES` and by single stores; a reader sees one or the other.
    let root = unsafe { &mut *root };
    // SAFETY: 1. As the root, so all other tables.
    Some(unsafe { OffsetPageTable::new(root, VirtAddr::new(DIRECT_MAP)) })
}

/// Physical address of the top-level page table: what every CPU's CR3 holds.
///
/// # Panics
///
/// Before the tables are built.
#[must_use]
pub fn root() -> u64 {
    *ROOT
        .get()
        .expect("page tables are built before anybody asks for them")
}

/// Backs `addresses` (page-aligned) with new zeroed frames.
///
/// # Errors
///
/// [`MemoryError`], if frames run out or a page is mapped already.
pub fn map_new(addresses: Range<u64>) -> Result<(), MemoryError> {
    change(|mapper, tables| {
        for address in addresses.step_by(frames::FRAME as usize) {
            let frame = frames::allocate_zeroed_page()?;
            let page = address..address + frames::FRAME;
            map(mapper, tables, page, frame, Use::Data)?;
        }
        Ok(())
    })
}

/// Makes `length` bytes at `physical` accessible at their place in the direct map, as device
/// registers or as firmware tables. Mapping a range again for the same use changes nothing.
/// Returns the virtual address. Context: thread.
///
/// # Errors
///
/// [`MemoryError`], if the range is out of bounds, mapped for another use, or in the kernel's image, or if
/// frames run out.
///
/// # Safety
///
/// The range must be what `usage` says: device registers, or memory that the firmware set aside.
pub unsafe fn map_physical(physical: u64, length: u64, usage: Use) -> Result<u64, MemoryError> {
    // SAFETY: Passed on to the caller.
    unsafe { map_physical_noting(physical, length, usage, |_| {}) }
}

/// As [`map_physical`]; calls `new` with the virtual address of each page that was not mapped
/// before, also if it fails.
///
/// # Errors
///
/// As [`map_physical`].
///
/// # Safety
///
/// As [`map_physical`].
pub(super) unsafe fn map_physical_noting(
    physical: u64,
    length: u64,
    usage: Use,
    mut new: impl FnMut(u64),
) -> Result<u64, MemoryError> {
    const MASK: u64 = frames::FRAME - 1;
    let bad_range = MemoryError::BadRange(physical);
    let end = physical.checked_add(length).ok_or(bad_range)?;
    // Address bits that the processor lacks are reserved in an entry (SDM vol. 3A, 5.4.1).
    let limit = DIRECT_MAP_SIZE.min(1 << processor::physical_address_bits());
    if length == 0 || end > limit {
        return Err(bad_range);
    }
    let _changes = CHANGES.lock();
    let mut mapper = kernel_tables().ok_or(MemoryError::NoRoomForTables)?;
    // The image is not in the direct map. A second way to it would get round the first one's rights.
    let image = image::virtual_range();
    if let Some(start) = mapper.translate_addr(VirtAddr::new(image.start)) {
        let start = start.as_u64();
        if physical < start + (image.end - image.start) && start < end {
            return Err(MemoryError::Image(physical));
        }
    }
    for page in (physical & !MASK..end).step_by(frames::FRAME as usize) {
        let address = DIRECT_MAP + page;
        match mapper.translate(VirtAddr::new(address)) {
            TranslateResult::NotMapped => {
                let page_addresses = address..address + frames::FRAME;
                map(&mut mapper, &mut LaterTables, page_addresses, page, usage)?;
                new(address);
            }
            // Tables in ordinary memory are there already, writable: reading them is fine.
            TranslateResult::Mapped { flags, .. }
                if flags.contains(PageTableFlags::NO_CACHE) == (usage == Use::Device) => {}
            _ => return Err(MemoryError::AlreadyMapped(address)),
        }
    }
    Ok(DIRECT_MAP + physical)
}

/// Changes the tables in force, to the exclusion of others.
pub(super) fn change(
    change: impl FnOnce(&mut OffsetPageTable<'_>, &mut LaterTables) -> Result<(), MemoryError>,
) -> Result<(), MemoryError> {
    let _changes = CHANGES.lock();
    let mut mapper = kernel_tables().ok_or(MemoryError::NoRoomForTables)?;
    change(&mut mapper, &mut LaterTables)
}

/// Whether reading a byte at `address` works. Any context.
#[must_use]
pub fn is_mapped(address: u64) -> bool {
    let Ok(address) = VirtAddr::try_new(address) else {
        return false;
    };
    match kernel_tables() {
        Some(tables) => matches!(tables.translate(address), TranslateResult::Mapped { .. }),
        // Before there are tables of our own, only the image is known to be mapped.
        None => image::virtual_range().contains(&address.as_u64()),
    }
}

/// Bytes mapped in each way, added up over the whole of the page tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Read and execute.
    pub execute: u64,
    /// Read only.
    pub read: u64,
    /// Read and write.
    pub write: u64,
    /// Writable and executable: must be 0.
    pub write_and_execute: u64,
    /// Accessible from ring 3.
    pub user: u64,
}

/// Walks the page tables and adds up what they allow.
#[must_use]
pub fn audit() -> Audit {
    let mut audit = Audit::default();
    let start = PageTableFlags::WRITABLE | PageTableFlags::USER_ACCESSIBLE;
    audit_table(root(), 4, start, &mut audit);
    audit
}

/// Adds up the table at physical address `table`; `above` are the rights its parents leave.
fn audit_table(table: u64, level: u8, above: PageTableFlags, audit: &mut Audit) {
    const RIGHTS: PageTableFlags = PageTableFlags::WRITABLE.union(PageTableFlags::USER_ACCESSIBLE);
    // SAFETY: 1. `table` is the root or was read from a present entry that maps no page itself, so
    // it is a table, and the direct map shows all tables.
    let table = unsafe { &*frames::pointer::<PageTable>(table) };
    for entry in table
        .iter()
        .filter(|entry| entry.flags().contains(PageTableFlags::PRESENT))
    {
        let flags = entry.flags();
        let no_execute = (above | flags) & PageTableFlags::NO_EXECUTE;
        let rights = above & flags & RIGHTS | no_execute;
        if level > 1 && !flags.contains(PageTableFlags::HUGE_PAGE) {
            audit_table(entry.addr().as_u64(), level - 1, rights, audit);
            continue;
        }
        let bytes = frames::FRAME << (9 * (level - 1));
        let execute = no_execute.is_empty();
        *match (rights.contains(PageTableFlags::WRITABLE), execute) {
            (true, true) => &mut audit.write_and_execute,
            (true, false) => &mut audit.write,
            (false, true) => &mut audit.execute,
            (false, false) => &mut audit.read,
        } += bytes;
        if rights.contains(PageTableFlags::USER_ACCESSIBLE) {
            audit.user += bytes;
        }
    }
}

/// The flags of the page at `address`, for the monitor.
#[must_use]
pub fn page_flags(address: u64) -> Option<PageTableFlags> {
    match kernel_tables()?.translate(VirtAddr::try_new(address).ok()?) {
        TranslateResult::Mapped { flags, .. } => Some(flags),
        _ => None,
    }
}
