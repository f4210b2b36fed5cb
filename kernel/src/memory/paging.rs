//! The kernel's page tables, W^X from the first load.

use core::ops::Range;

use spin::Once;
use tocsin_logic::layout::{DIRECT_MAP, DIRECT_MAP_SIZE};
use tocsin_logic::memory_map::{MemoryMap, RegionKind};
use tocsin_logic::paging::{Block, BlockSize, blocks};
use x86_64::registers::control::{Cr3, Cr3Flags, Cr4, Cr4Flags};
use x86_64::structures::paging::{PageTableFlags, PhysFrame};
use x86_64::{PhysAddr, VirtAddr};

use super::tables::Tables;
use super::{MemoryError, frames};
use crate::boot::BootInfo;
use crate::boot::image::{self, Access};
use crate::hw::control::Features;
use crate::hw::processor;
use crate::sync::IrqMutex;

/// Physical address of the top-level table, for CR3 of the APs.
static ROOT: Once<u64> = Once::new();

/// Held while the tables change.
static CHANGES: IrqMutex<()> = IrqMutex::new(());

/// The use of a mapping; determines its flags and memory type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// Code: readable and executable.
    Code,
    /// Constants and firmware tables: read-only.
    Constant,
    /// Memory: readable and writable.
    Data,
    /// Device registers: readable and writable, uncached, strongly ordered.
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
            // PAT entry 3: uncached, regardless of the MTRRs.
            Self::Device => {
                flags |= PageTableFlags::WRITABLE
                    | PageTableFlags::NO_CACHE
                    | PageTableFlags::WRITE_THROUGH;
            }
        }
        flags
    }
}

/// Builds the tables and loads them. Returns the physical range of the tables.
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
    let mut frames = FirstTables {
        region,
        offset: info.loader_direct_map,
    };
    let root = frames.take().ok_or(MemoryError::NoRoomForTables)?;
    // SAFETY: The frame is zeroed and nothing else uses it, and all tables below the root come from
    // `frames`, which the loader maps at this offset.
    let tables = unsafe { Tables::new(root, info.loader_direct_map) };
    let mut take = || frames.take();

    let image = image::virtual_range();
    for section in image::sections() {
        let usage = match section.access {
            Access::Execute => Use::Code,
            Access::Read => Use::Constant,
            Access::Write => Use::Data,
        };
        let physical = info.image + (section.range.start - image.start);
        map(&tables, &mut take, section.range, physical, usage)?;
    }
    let image_end = info.image + (image.end - image.start);
    for memory in info
        .memory
        .iter()
        .filter(|region| super::is_memory(region.kind))
    {
        let end = memory.start + memory.length;
        for (start, end) in super::without(memory.start, end, &(info.image..image_end)) {
            let addresses = DIRECT_MAP + start..DIRECT_MAP + end;
            map(&tables, &mut take, addresses, start, Use::Data)?;
        }
    }

    // Writing CR3 does not flush the global entries of the loader's tables, but clearing PGE does
    // (SDM vol. 3A, 5.10.4.1).
    let frame = PhysFrame::containing_address(PhysAddr::new(root));
    let cr4 = Cr4::read();
    // SAFETY: Without PGE, pages are not global, which is always valid.
    unsafe { Cr4::write(cr4 & !Cr4Flags::PAGE_GLOBAL) };
    // SAFETY: The new tables map the image, including this code and the stack, at the same
    // addresses. None of the loader's mappings is used from here on.
    unsafe { Cr3::write(frame, Cr3Flags::empty()) };
    // SAFETY: The original value is restored.
    unsafe { Cr4::write(cr4) };

    ROOT.call_once(|| root);
    Ok(start..frames.region.start)
}

/// The largest usable region within the range that every loader maps: 1 MiB to 4 GiB.
fn table_region(memory: &MemoryMap) -> Option<Range<u64>> {
    memory
        .iter()
        .filter(|region| region.kind == RegionKind::Usable)
        .map(|region| region.start.max(1 << 20)..(region.start + region.length).min(1 << 32))
        .filter(|range| range.start < range.end)
        .max_by_key(|range| range.end - range.start)
}

/// Frames for the first tables, accessed through the loader's direct map.
struct FirstTables {
    region: Range<u64>,
    offset: u64,
}

impl FirstTables {
    /// Returns a zeroed frame that nothing else uses.
    fn take(&mut self) -> Option<u64> {
        let frame = self.region.start;
        if frame + frames::FRAME > self.region.end {
            return None;
        }
        self.region.start += frames::FRAME;
        // SAFETY: The frame is usable memory, mapped by the loader at this offset, and nothing else
        // uses it.
        unsafe { ((frame + self.offset) as *mut u8).write_bytes(0, frames::FRAME as usize) };
        Some(frame)
    }
}

/// Allocates a frame for a later table; never freed.
fn later_table() -> Option<u64> {
    frames::allocate_zeroed_page().ok()
}

/// Maps `addresses` (page-aligned) to physical memory starting at `physical`, with the largest
/// possible pages.
fn map(
    tables: &Tables,
    frame: &mut dyn FnMut() -> Option<u64>,
    addresses: Range<u64>,
    physical: u64,
    usage: Use,
) -> Result<(), MemoryError> {
    let gigabyte_pages = Features::get().contains(Features::GIGABYTE_PAGES);
    // No existing mapping changes, and the CPU does not cache non-present entries.
    blocks(addresses, physical, gigabyte_pages)
        .try_for_each(|block| tables.map(block, usage.flags(), frame))
}

/// The active page tables. Any context.
fn kernel_tables() -> Option<Tables> {
    let root = *ROOT.get()?;
    // SAFETY: The root and all tables below it are in usable memory, which is in the direct map,
    // and are never freed.
    Some(unsafe { Tables::new(root, DIRECT_MAP) })
}

/// Physical address of the top-level page table: the value of CR3 on every CPU.
///
/// Context: any.
///
/// # Panics
///
/// Before the tables are built.
#[must_use]
pub fn root() -> u64 {
    *ROOT
        .get()
        .expect("page tables are built before their first use")
}

/// Maps `addresses` (page-aligned) to new zeroed frames.
///
/// # Errors
///
/// [`MemoryError`], if frames run out or a page is mapped already.
pub(super) fn map_new(addresses: Range<u64>) -> Result<(), MemoryError> {
    change(|tables| {
        for address in addresses.step_by(frames::FRAME as usize) {
            let frame = frames::allocate_zeroed_page()?;
            map_page(tables, address, frame, Use::Data)?;
        }
        Ok(())
    })
}

/// Maps `length` bytes at `physical` at their address in the direct map, as device registers or as
/// firmware tables. Mapping a range again for the same use changes nothing. Returns the virtual
/// address.
/// Context: thread.
///
/// # Errors
///
/// [`MemoryError`], if the range is out of bounds, mapped for another use, or in the kernel image,
/// or if frames run out.
///
/// # Safety
///
/// The range must match `usage`: device registers, or memory that firmware reserved.
pub unsafe fn map_physical(physical: u64, length: u64, usage: Use) -> Result<u64, MemoryError> {
    // SAFETY: Passed on to the caller.
    unsafe { map_physical_with(physical, length, usage, |_| {}) }
}

/// Like [`map_physical`], but also calls `new` with the virtual address of each page that was not
/// mapped before, even if a later page fails.
///
/// # Errors
///
/// As [`map_physical`].
///
/// # Safety
///
/// As [`map_physical`].
pub(super) unsafe fn map_physical_with(
    physical: u64,
    length: u64,
    usage: Use,
    mut new: impl FnMut(u64),
) -> Result<u64, MemoryError> {
    const MASK: u64 = frames::FRAME - 1;
    let bad_range = MemoryError::BadRange(physical);
    let end = physical.checked_add(length).ok_or(bad_range)?;
    // Address bits above the CPU's physical-address width are reserved in an entry (SDM vol. 3A,
    // 5.4.1).
    let limit = DIRECT_MAP_SIZE.min(1 << processor::physical_address_bits());
    if length == 0 || end > limit {
        return Err(bad_range);
    }
    let _changes = CHANGES.lock();
    let tables = kernel_tables().ok_or(MemoryError::NoRoomForTables)?;
    // The image is not in the direct map. An alias would bypass the protection of its mapping.
    let image = image::virtual_range();
    if let Some(first) = tables.find(image.start) {
        let start = first.physical();
        if physical < start + (image.end - image.start) && start < end {
            return Err(MemoryError::Image(physical));
        }
    }
    for page in (physical & !MASK..end).step_by(frames::FRAME as usize) {
        let address = DIRECT_MAP + page;
        match tables.find(address) {
            None => {
                map_page(&tables, address, page, usage)?;
                new(address);
            }
            // Tables in ordinary memory are already mapped writable, which suffices for reading.
            Some(leaf)
                if leaf.flags().contains(PageTableFlags::NO_CACHE) == (usage == Use::Device) => {}
            Some(_) => return Err(MemoryError::AlreadyMapped(address)),
        }
    }
    Ok(DIRECT_MAP + physical)
}

/// Maps one 4 KiB page. The caller must exclude other changes.
pub(super) fn map_page(
    tables: &Tables,
    address: u64,
    physical: u64,
    usage: Use,
) -> Result<(), MemoryError> {
    let page = Block {
        address,
        physical,
        size: BlockSize::Page4KiB,
    };
    tables.map(page, usage.flags(), &mut later_table)
}

/// Changes the active tables, excluding other changes.
pub(super) fn change(
    change: impl FnOnce(&Tables) -> Result<(), MemoryError>,
) -> Result<(), MemoryError> {
    let _changes = CHANGES.lock();
    change(&kernel_tables().ok_or(MemoryError::NoRoomForTables)?)
}

/// Whether the byte at `address` can be read.
///
/// Context: any.
#[must_use]
pub fn is_mapped(address: u64) -> bool {
    if VirtAddr::try_new(address).is_err() {
        return false;
    }
    match kernel_tables() {
        Some(tables) => tables.find(address).is_some(),
        // Before the kernel's own tables exist, only the image is known to be mapped.
        None => image::virtual_range().contains(&address),
    }
}

/// Numbers of bytes mapped with each kind of access, in the whole page-table hierarchy.
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

/// Walks the page tables and adds up the mapped bytes by access rights.
///
/// Context: any.
///
/// # Panics
///
/// Before the tables are built.
#[must_use]
pub fn audit() -> Audit {
    let mut audit = Audit::default();
    let tables = kernel_tables().expect("page tables are built before they are audited");
    tables.for_each(&mut |page| {
        *match (page.writable, page.executable) {
            (true, true) => &mut audit.write_and_execute,
            (true, false) => &mut audit.write,
            (false, true) => &mut audit.execute,
            (false, false) => &mut audit.read,
        } += page.bytes;
        if page.user {
            audit.user += page.bytes;
        }
    });
    audit
}

/// The flags of the page at `address`, for the monitor.
///
/// Context: any.
#[must_use]
pub fn page_flags(address: u64) -> Option<PageTableFlags> {
    VirtAddr::try_new(address).ok()?;
    kernel_tables()?.find(address).map(|leaf| leaf.flags())
}
