//! Plausibility checks of the register addresses in firmware tables.
//!
//! Reading a device's registers can have side effects, and writing to memory instead of registers
//! corrupts it. So an address from a table is compared with the memory map and with the known
//! registers before it is used.

use super::{MemoryMap, RegionKind};
use arrayvec::ArrayVec;
use core::fmt;
use core::ops::Range;

/// The end of the memory and ROM that real mode can address. No registers are below it.
const REAL_MODE_END: u64 = 1 << 20;

/// Maximum number of register ranges.
const MAX_DEVICES: usize = 32;

/// The reason why registers cannot be at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misplaced {
    /// The range wraps, or ends above the physical address space of this many bits.
    TooHigh(u32),
    /// It is below 1 MiB.
    RealMode,
    /// It overlaps memory of this kind.
    Memory(RegionKind),
    /// It overlaps the registers of this device.
    Device(&'static str),
}

impl fmt::Display for Misplaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooHigh(bits) => write!(f, "above the {bits}-bit physical address space"),
            Self::RealMode => f.write_str("in the first MiB"),
            Self::Memory(kind) => write!(f, "in memory ({kind})"),
            Self::Device(name) => write!(f, "in the registers of the {name}"),
        }
    }
}

impl core::error::Error for Misplaced {}

/// The known use of the physical address space.
#[derive(Clone, Debug)]
pub struct Placement<'a> {
    memory: &'a MemoryMap,
    address_bits: u32,
    devices: ArrayVec<(Range<u64>, &'static str), MAX_DEVICES>,
}

impl<'a> Placement<'a> {
    /// The address space of a processor with physical addresses of `address_bits` bits, at most 52.
    /// The memory map must be normalised.
    #[must_use]
    pub const fn new(memory: &'a MemoryMap, address_bits: u32) -> Self {
        Self {
            memory,
            address_bits,
            devices: ArrayVec::new_const(),
        }
    }

    /// Adds `length` bytes of registers at `start`. Ranges beyond the capacity are ignored.
    pub fn add(&mut self, name: &'static str, start: u64, length: u64) {
        let range = start..start.saturating_add(length);
        let _ = self.devices.try_push((range, name));
    }

    /// Checks that `length` bytes of registers can be at `start`.
    ///
    /// # Errors
    ///
    /// [`Misplaced`].
    pub fn check(&self, start: u64, length: u64) -> Result<(), Misplaced> {
        self.check_devices(start, length)?;
        if start < REAL_MODE_END {
            return Err(Misplaced::RealMode);
        }
        let end = start + length;
        let mut regions = self.memory.iter();
        let overlapped = regions.find(|r| is_memory(r.kind) && r.start < end && start < r.end());
        overlapped.map_or(Ok(()), |region| Err(Misplaced::Memory(region.kind)))
    }

    /// Checks that a table of `length` bytes can be at `start`: it may be in any memory, but not in
    /// registers, because reading those can have side effects.
    ///
    /// # Errors
    ///
    /// [`Misplaced::TooHigh`] and [`Misplaced::Device`].
    pub fn check_devices(&self, start: u64, length: u64) -> Result<(), Misplaced> {
        let limit = 1 << self.address_bits;
        let end = start.checked_add(length).filter(|&end| end <= limit);
        let end = end.ok_or(Misplaced::TooHigh(self.address_bits))?;
        let mut devices = self.devices.iter();
        let overlapped = devices.find(|(range, _)| range.start < end && start < range.end);
        overlapped.map_or(Ok(()), |&(_, name)| Err(Misplaced::Device(name)))
    }
}

/// Whether a region of this kind is memory, so that it contains no registers. A reserved range may
/// be either.
const fn is_memory(kind: RegionKind) -> bool {
    match kind {
        RegionKind::Usable
        | RegionKind::BootReclaimable
        | RegionKind::AcpiReclaimable
        | RegionKind::Kernel
        | RegionKind::Framebuffer
        | RegionKind::AcpiNvs
        | RegionKind::Bad => true,
        RegionKind::Reserved => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_map::Region;
    use std::string::ToString;

    fn map() -> MemoryMap {
        let mut map = MemoryMap::new();
        for (start, length, kind) in [
            (0, 0xa_0000, RegionKind::Usable),
            (0x10_0000, 0xff0_0000, RegionKind::Usable),
            (0x1000_0000, 0x1000, RegionKind::AcpiNvs),
            (0xfec0_0000, 0x40_0000, RegionKind::Reserved),
        ] {
            let region = Region {
                start,
                length,
                kind,
            };
            map.push(region).expect("room");
        }
        map.normalise();
        map
    }

    #[test]
    fn registers_are_not_in_memory() {
        let map = map();
        let mut placement = Placement::new(&map, 40);
        placement.add("local APIC", 0xfee0_0000, 0x1000);
        let check = |start, length| placement.check(start, length).err();
        assert_eq!(check(0xfec0_0000, 0x44), None);
        assert_eq!(check(0xd000_0000, 0x44), None);
        assert_eq!(check(0xfee0_1000, 0x44), None);
        let usable = Some(Misplaced::Memory(RegionKind::Usable));
        assert_eq!(check(0x80_0000, 0x44), usable);
        assert_eq!(check(0xfff_ffff, 1), usable);
        assert_eq!(
            check(0x1000_0ff0, 0x44),
            Some(Misplaced::Memory(RegionKind::AcpiNvs))
        );
        // The last byte of a range that begins before the region counts.
        assert_eq!(check(0x1000_1000, 0x44), None);
        assert_eq!(check(0xf_0000, 0x44), Some(Misplaced::RealMode));
        assert_eq!(check(0, 0x44), Some(Misplaced::RealMode));
        let apic = Some(Misplaced::Device("local APIC"));
        assert_eq!(check(0xfee0_0ff0, 0x44), apic);
        assert_eq!(check(0xfedf_ffc0, 0x44), apic);
        assert_eq!(check((1 << 40) - 0x44, 0x44), None);
        assert_eq!(check((1 << 40) - 0x43, 0x44), Some(Misplaced::TooHigh(40)));
        assert_eq!(check(u64::MAX, 0x44), Some(Misplaced::TooHigh(40)));
    }

    #[test]
    fn tables_are_not_in_registers() {
        let map = map();
        let mut placement = Placement::new(&map, 36);
        placement.add("local APIC", 0xfee0_0000, 0x1000);
        assert_eq!(placement.check_devices(0xf_0000, 36), Ok(()));
        assert_eq!(placement.check_devices(0x80_0000, 36), Ok(()));
        let error = placement.check_devices(0xfee0_0000, 36);
        assert_eq!(error, Err(Misplaced::Device("local APIC")));
        let error = placement.check_devices(1 << 36, 36).expect_err("too high");
        assert_eq!(error.to_string(), "above the 36-bit physical address space");
        for number in 0..100 {
            placement.add("HPET", number << 12, 8);
        }
    }
}
