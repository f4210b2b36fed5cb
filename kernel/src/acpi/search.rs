//! Search for the RSDP in BIOS memory.
//!
//! The `acpi` crate knows which ranges to search. For the checksum it reads as many bytes as a
//! candidate's length field specifies, and the field is arbitrary if the signature is not that of
//! an RSDP. Therefore the crate searches a copy, in which [`rsdp::simplify`] leaves only valid
//! RSDPs of revision 0.

use alloc::boxed::Box;
use alloc::vec;
use core::ptr::NonNull;

use acpi::rsdp::Rsdp;
use acpi::{AcpiHandler, PhysicalMapping};
use tocsin_logic::acpi::rsdp;

use crate::memory::paging;

/// Unit of a copy. RSDPs are aligned to its size.
type Unit = [u8; 16];

/// A handler of the `acpi` crate that maps copies of the physical memory.
#[derive(Clone, Copy, Debug)]
struct Copies;

impl AcpiHandler for Copies {
    unsafe fn map_physical_region<T>(
        &self,
        address: usize,
        size: usize,
    ) -> PhysicalMapping<Self, T> {
        // SAFETY: The search reads only BIOS memory below 1 MiB, which is not device memory.
        let start =
            unsafe { paging::map_physical(address as u64, size as u64, paging::Use::Constant) };
        let start = start.expect("memory below 1 MiB can be mapped");
        // SAFETY: The range was just mapped and stays mapped.
        let original = unsafe { core::slice::from_raw_parts(start as *const u8, size) };
        let mut copy = vec![Unit::default(); size.div_ceil(size_of::<Unit>())].into_boxed_slice();
        let bytes = &mut copy.as_flattened_mut()[..size];
        bytes.copy_from_slice(original);
        rsdp::simplify(bytes);
        let start = NonNull::from(Box::leak(copy)).cast();
        // SAFETY: The copy lives until it is unmapped.
        unsafe { PhysicalMapping::new(address, start, size, size, *self) }
    }

    fn unmap_physical_region<T>(copy: &PhysicalMapping<Self, T>) {
        let start = copy.virtual_start().as_ptr().cast::<Unit>();
        let units = copy.region_length().div_ceil(size_of::<Unit>());
        // SAFETY: The box was leaked with this many units, and is freed once.
        drop(unsafe { Box::from_raw(core::ptr::slice_from_raw_parts_mut(start, units)) });
    }
}

/// Physical address of the first RSDP in the extended BIOS data area or the BIOS area whose first
/// 20 bytes are valid.
pub(super) fn in_bios_memory() -> Option<u64> {
    // SAFETY: The search only reads memory below 1 MiB.
    let found = unsafe { Rsdp::search_for_on_bios(Copies) };
    found.ok().map(|rsdp| rsdp.physical_start() as u64)
}
