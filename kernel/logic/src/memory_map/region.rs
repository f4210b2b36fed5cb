//! The regions of the physical memory map, and their uses.

use core::fmt;

/// The use of a region, in ascending order of restriction: where two entries overlap, the later
/// kind applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegionKind {
    /// Free memory.
    Usable,
    /// Used by the boot loader, free once its data has been read.
    BootReclaimable,
    /// Holds ACPI tables, free once they have been read.
    AcpiReclaimable,
    /// Holds the kernel or a module.
    Kernel,
    /// The framebuffer.
    Framebuffer,
    /// ACPI firmware storage, never free.
    AcpiNvs,
    /// Not usable memory: devices, firmware.
    Reserved,
    /// Defective memory.
    Bad,
}

impl RegionKind {
    /// Every kind, in ascending order of restriction.
    pub const ALL: [Self; 8] = [
        Self::Usable,
        Self::BootReclaimable,
        Self::AcpiReclaimable,
        Self::Kernel,
        Self::Framebuffer,
        Self::AcpiNvs,
        Self::Reserved,
        Self::Bad,
    ];
}

impl fmt::Display for RegionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Usable => "usable",
            Self::BootReclaimable => "boot loader, reclaimable",
            Self::AcpiReclaimable => "ACPI, reclaimable",
            Self::Kernel => "kernel",
            Self::Framebuffer => "framebuffer",
            Self::AcpiNvs => "ACPI NVS",
            Self::Reserved => "reserved",
            Self::Bad => "bad",
        })
    }
}

/// A range of physical addresses with one use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// The first address.
    pub start: u64,
    /// The number of bytes.
    pub length: u64,
    /// The use.
    pub kind: RegionKind,
}

impl Region {
    /// The first address after the region.
    ///
    /// For a region that extends beyond 64 bits, the highest address.
    #[must_use]
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    pub(super) fn between(start: u64, end: u64, kind: RegionKind) -> Self {
        Self {
            start,
            length: end - start,
            kind,
        }
    }
}
