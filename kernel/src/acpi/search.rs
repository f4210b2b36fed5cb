//! Looking for the RSDP where a BIOS puts it.

use core::ptr::NonNull;

use acpi::rsdp::Rsdp;
use acpi::{AcpiHandler, PhysicalMapping};

use crate::memory::paging;

/// Maps what the search looks at.
#[derive(Clone, Copy, Debug)]
struct Mapper;

impl AcpiHandler for Mapper {
    unsafe fn map_physical_region<T>(
        &self,
        address: usize,
        size: usize,
    ) -> PhysicalMapping<Self, T> {
        // SAFETY: 1. The search reads only the BIOS's memory below 1 MiB, which is not device memory.
        let start =
            unsafe { paging::map_physical(address as u64, size as u64, paging::Use::Constant) };
        let start = start.expect("memory below 1 MiB can be mapped");
        let start = NonNull::new(start as *mut T).expect("the direct map is not at address 0");
        // SAFETY: 1. The range was just mapped, and is never unmapped.
        unsafe { PhysicalMapping::new(address, start, size, size, *self) }
    }

    fn unmap_physical_region<T>(_: &PhysicalMapping<Self, T>) {}
}

/// Physical address of the RSDP in the extended BIOS data area or the BIOS's memory.
pub(super) fn in_bios_memory() -> Option<u64> {
    // SAFETY: 1. Only reads memory below 1 MiB.
    let found = unsafe { Rsdp::search_for_on_bios(Mapper) };
    found.ok().map(|rsdp| rsdp.physical_start() as u64)
}
