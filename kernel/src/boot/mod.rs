//! Kernel entry and the boot information.
//!
//! Limine and a PVH loader leave the CPU in different states and describe the machine in different
//! formats. Both entries make the same call with the same [`BootInfo`]; the code after it does not
//! depend on the loader, except for its name in the log.

pub(crate) mod early;
pub mod image;
pub mod limine;
pub mod pvh;
mod stack;

use core::cell::UnsafeCell;
use core::fmt;

use arrayvec::ArrayString;
use tocsin_logic::command_line::MAX_LENGTH;
use tocsin_logic::memory_map::{MapFull, MemoryMap, Region, RegionKind};

/// The boot protocol; the entry code passes it in a register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The Limine boot protocol.
    Limine,
    /// Xen's PVH start, as used by QEMU's `-kernel`.
    Pvh,
}

impl Protocol {
    /// The number that the entry code of this protocol passes.
    const fn number(self) -> u64 {
        match self {
            Self::Limine => 1,
            Self::Pvh => 2,
        }
    }
}

/// The boot information, copied from the loader's memory: physical addresses only, no pointers.
///
/// About 64 KiB, so it is filled in place and never moved.
#[derive(Debug)]
pub struct BootInfo {
    /// The boot protocol.
    pub protocol: Protocol,
    /// Name and version of the loader, for the log.
    pub loader: ArrayString<64>,
    /// The kernel command line.
    pub command_line: ArrayString<MAX_LENGTH>,
    /// Whether the loader's command line was longer than [`MAX_LENGTH`], or not UTF-8.
    pub command_line_cut: bool,
    /// Physical memory, normalised.
    pub memory: MemoryMap,
    /// Physical address of the RSDP, if the loader passed one.
    pub rsdp: Option<u64>,
    /// Physical address at which the kernel image was loaded.
    pub image: u64,
    /// The kernel's own ELF file, for symbols: physical address and length in bytes.
    pub kernel_file: Option<(u64, u64)>,
    /// Virtual address to which the loader's page tables map physical address 0.
    pub loader_direct_map: u64,
}

impl BootInfo {
    const fn empty() -> Self {
        Self {
            protocol: Protocol::Limine,
            loader: ArrayString::new_const(),
            command_line: ArrayString::new_const(),
            command_line_cut: false,
            memory: MemoryMap::new(),
            rsdp: None,
            image: 0,
            kernel_file: None,
            loader_direct_map: 0,
        }
    }

    /// Stores as much of `text` as fits as the command line.
    fn set_command_line(&mut self, text: &[u8]) {
        let valid = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        let mut cut = valid.len() < text.len();
        for character in valid.chars() {
            if self.command_line.try_push(character).is_err() {
                cut = true;
                break;
            }
        }
        self.command_line_cut = cut;
    }
}

/// The boot information; only [`collect`] writes it.
struct InfoCell(UnsafeCell<BootInfo>);

// SAFETY: `collect` runs once, on one CPU, and returns a shared reference when it has finished.
unsafe impl Sync for InfoCell {}

static INFO: InfoCell = InfoCell(UnsafeCell::new(BootInfo::empty()));

/// The reason why the kernel cannot boot with the loader's information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootError {
    /// The entry code passed an undefined protocol number.
    Protocol(u64),
    /// The PVH start info does not begin with its magic number.
    PvhMagic(u32),
    /// The named part of the PVH start info has an address that a PVH loader cannot reach.
    PvhAddress(&'static str, u64),
    /// The loader does not support a base revision that the kernel knows.
    LimineRevision,
    /// The loader did not respond to a mandatory request.
    LimineResponse(&'static str),
    /// The memory map has more regions than the kernel can store.
    MemoryMapFull,
    /// The memory map is missing or empty.
    NoMemory,
}

impl fmt::Display for BootError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol(number) => write!(f, "entered by an unknown way ({number:#x})"),
            Self::PvhMagic(magic) => {
                write!(
                    f,
                    "PVH start info begins with {magic:#010x}, not 0x336ec578"
                )
            }
            Self::PvhAddress(what, address) => write!(
                f,
                "PVH start info: {what}: address {address:#x} or its end is not below 4 GiB; \
                 the loader is faulty"
            ),
            Self::LimineRevision => {
                f.write_str("this Limine does not know base revision 2: use Limine 8.0 or later")
            }
            Self::LimineResponse(request) => {
                write!(f, "Limine did not respond to the {request} request")
            }
            Self::MemoryMapFull => write!(
                f,
                "the memory map has more than {} regions",
                MemoryMap::CAPACITY
            ),
            Self::NoMemory => f.write_str("the loader gave no memory map"),
        }
    }
}

impl core::error::Error for BootError {}

impl From<MapFull> for BootError {
    fn from(_: MapFull) -> Self {
        Self::MemoryMapFull
    }
}

/// Collects the loader's information, given the entry code's arguments.
///
/// # Errors
///
/// [`BootError`], if the kernel cannot boot with it.
///
/// # Safety
///
/// Must be called once. The arguments must be those of the entry code, and the loader's memory must
/// be unmodified.
pub(crate) unsafe fn collect(
    protocol: u64,
    start_info: u64,
) -> Result<&'static BootInfo, BootError> {
    // SAFETY: This runs once, so there is no other reference.
    let info = unsafe { &mut *INFO.0.get() };
    if protocol == Protocol::Limine.number() {
        limine::collect(info)?;
    } else if protocol == Protocol::Pvh.number() {
        // SAFETY: Passed on to the caller.
        unsafe { pvh::collect(info, start_info)? };
    } else {
        return Err(BootError::Protocol(protocol));
    }
    // A PVH loader reports the image and the file as free memory, and Limine reports the memory of
    // the file as reclaimable.
    let image = image::virtual_range();
    let kept = [
        Some((info.image, image.end - image.start)),
        info.kernel_file,
    ];
    for (start, length) in kept.into_iter().flatten() {
        info.memory.push(Region {
            start,
            length,
            kind: RegionKind::Kernel,
        })?;
    }
    info.memory.normalise();
    Ok(info)
}
