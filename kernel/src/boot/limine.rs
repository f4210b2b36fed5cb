//! The entry from Limine: 64-bit mode, paging enabled, responses to requests in memory.
//!
//! Limine's multiprocessor request is not used: the kernel starts the APs itself, from the MADT, so
//! that it can report an AP that fails to start.

use core::arch::naked_asm;

use limine::BaseRevision;
use limine::memory_map::EntryType;
use limine::request::{
    BootloaderInfoRequest, ExecutableAddressRequest, ExecutableFileRequest, HhdmRequest,
    MemoryMapRequest, RequestsEndMarker, RequestsStartMarker, RsdpRequest,
};
use tocsin_logic::memory_map::{Region, RegionKind};

use super::{BootError, BootInfo, Protocol, stack};

/// All requests in one place: Limine finds them between the markers by their magic numbers.
#[repr(C)]
pub struct Requests {
    start: RequestsStartMarker,
    /// Revision 2 is the newest that Limine 8 supports, and later versions still support it.
    revision: BaseRevision,
    loader: BootloaderInfoRequest,
    direct_map: HhdmRequest,
    memory: MemoryMapRequest,
    image: ExecutableAddressRequest,
    file: ExecutableFileRequest,
    rsdp: RsdpRequest,
    end: RequestsEndMarker,
}

// SAFETY: The loader writes the responses before the kernel runs; afterwards they are only read.
unsafe impl Sync for Requests {}

/// The requests. Limine writes its responses into them.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".requests")]
pub static LIMINE_REQUESTS: Requests = Requests {
    start: RequestsStartMarker::new(),
    revision: BaseRevision::with_revision(2),
    loader: BootloaderInfoRequest::new(),
    direct_map: HhdmRequest::new(),
    memory: MemoryMapRequest::new(),
    image: ExecutableAddressRequest::new(),
    file: ExecutableFileRequest::new(),
    rsdp: RsdpRequest::new(),
    end: RequestsEndMarker::new(),
};

/// The entry point for Limine. It switches away from Limine's stack immediately, so that the
/// loader's memory can be passed to the allocator, and terminates the chain of frame pointers for
/// backtraces.
#[unsafe(naked)]
#[unsafe(no_mangle)]
#[unsafe(link_section = ".text.boot")]
unsafe extern "C" fn limine_entry() -> ! {
    naked_asm!(
        "cli",
        "cld",
        "lea rsp, [{stack} + {size}]",
        // The tables of `early`; nothing is known of the loader's.
        "lgdt [rip + boot_gdt_pointer64]",
        "push 0x08",
        "lea rax, [rip + 2f]",
        "push rax",
        "retfq",
        "2:",
        "mov eax, 0x10",
        "mov ds, eax",
        "mov es, eax",
        "mov ss, eax",
        "lidt [rip + boot_idt64_pointer64]",
        "call boot_check_processor",
        "xor ebp, ebp",
        "mov edi, {protocol}",
        "xor esi, esi",
        "call kernel_start",
        "ud2",
        stack = sym stack::BOOT_STACK,
        size = const stack::SIZE,
        protocol = const Protocol::Limine.number(),
    )
}

/// Copies Limine's responses.
pub(super) fn collect(info: &mut BootInfo) -> Result<(), BootError> {
    let requests = &LIMINE_REQUESTS;
    // Later versions may respond with a newer revision than was requested, and report which.
    if !requests.revision.is_supported() && requests.revision.loaded_revision().is_none() {
        return Err(BootError::LimineRevision);
    }
    info.protocol = Protocol::Limine;
    if let Some(response) = requests.loader.get_response() {
        for part in [response.name(), " ", response.version()] {
            // A name that is too long is truncated.
            let _ = info.loader.try_push_str(part);
        }
    } else {
        info.loader.push_str("Limine");
    }

    let missing = BootError::LimineResponse;
    let direct_map = requests
        .direct_map
        .get_response()
        .ok_or(missing("HHDM"))?
        .offset();
    let image = requests
        .image
        .get_response()
        .ok_or(missing("executable address"))?;
    let entries = requests
        .memory
        .get_response()
        .ok_or(missing("memory map"))?
        .entries();
    if entries.is_empty() {
        return Err(BootError::NoMemory);
    }
    info.loader_direct_map = direct_map;
    info.image = image.physical_base();
    for entry in entries {
        info.memory.push(Region {
            start: entry.base,
            length: entry.length,
            kind: region_kind(entry.entry_type),
        })?;
    }

    if let Some(response) = requests.file.get_response() {
        let file = response.file();
        info.set_command_line(file.string().to_bytes());
        info.kernel_file = Some((file.addr() as u64 - direct_map, file.size()));
    }

    // Revision 3 passes the RSDP as a physical address, all other revisions as an address in the
    // direct map.
    info.rsdp = requests.rsdp.get_response().map(|response| {
        let address = response.address() as u64;
        address.checked_sub(direct_map).unwrap_or(address)
    });
    Ok(())
}

fn region_kind(entry: EntryType) -> RegionKind {
    match entry {
        EntryType::USABLE => RegionKind::Usable,
        EntryType::ACPI_RECLAIMABLE => RegionKind::AcpiReclaimable,
        EntryType::ACPI_NVS => RegionKind::AcpiNvs,
        EntryType::BAD_MEMORY => RegionKind::Bad,
        EntryType::BOOTLOADER_RECLAIMABLE => RegionKind::BootReclaimable,
        EntryType::EXECUTABLE_AND_MODULES => RegionKind::Kernel,
        EntryType::FRAMEBUFFER => RegionKind::Framebuffer,
        _ => RegionKind::Reserved,
    }
}
