//! Domains: the memory that a function can access.
//!
//! Each function has a domain of its own, which is created for its driver's first buffer and never
//! removed. Functions behind a bridge to a conventional PCI bus share one, because their requests
//! have the same source ID. Device addresses are allocated below 1 GiB, so that devices with few
//! address bits can use them. They are not physical addresses.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use tocsin_logic::acpi::dmar::{Dmar, Structure};
use tocsin_logic::memory_map::MemoryMap;
use tocsin_logic::vtd::iova::Space;
use tocsin_logic::vtd::mapping::{Mapped, Rights, Tables};
use tocsin_logic::vtd::{Capability, PAGE, SourceId};

use super::error::IommuError;
use super::queue::Queue;
use super::scope;
use super::unit::{Unit, unit_of, units};
use crate::memory;
use crate::sync::IrqMutex;

/// The end of the device addresses that are allocated: 1 GiB.
const END: u64 = 1 << 30;

/// The domain of a function.
#[derive(Debug)]
pub struct Domain {
    unit: usize,
    source: SourceId,
    tables: Tables,
    addresses: IrqMutex<Space<Vec<u64>>>,
}

/// All domains. Domains are never removed.
static DOMAINS: IrqMutex<Vec<&'static Domain>> = IrqMutex::new(Vec::new());

/// Held while a domain is created, so that a function gets only one.
static CREATION: IrqMutex<()> = IrqMutex::new(());

/// All domains, in the order of their creation.
///
/// Context: thread.
#[must_use]
pub fn all() -> Vec<&'static Domain> {
    DOMAINS.lock().clone()
}

/// The domain of a function, if it has one.
///
/// Context: any but NMI.
#[must_use]
pub fn find(unit: &Unit, source: SourceId) -> Option<&'static Domain> {
    let domains = DOMAINS.lock();
    let mut domains = domains.iter();
    domains
        .find(|it| it.unit == unit.number() && it.source == source)
        .copied()
}

/// The domain of a function, which is created if it has none.
pub(super) fn of(unit: &Unit, source: SourceId) -> Result<&'static Domain, IommuError> {
    let _creation = CREATION.lock();
    if let Some(domain) = find(unit, source) {
        return Ok(domain);
    }
    let tables = unit.attach(source)?;
    let words = vec![0; (END / PAGE / u64::from(u64::BITS)) as usize];
    let domain: &Domain = Box::leak(Box::new(Domain {
        unit: unit.number(),
        source,
        tables,
        addresses: IrqMutex::new(Space::new(words)),
    }));
    DOMAINS.lock().push(domain);
    Ok(domain)
}

/// Gives functions access to the memory in which firmware works with them: RMRR structures. Errors
/// are logged.
pub(super) fn map_reserved_memory(unit: &Unit, dmar: &Dmar<'_>, map: &MemoryMap) {
    // Invalid structures were logged when the units were found.
    for structure in dmar.structures().flatten() {
        let Structure::Rmrr(region) = structure.value else {
            continue;
        };
        let range = region.addresses();
        if let Some(used) = map.iter().find(|it| {
            memory::is_memory(it.kind) && it.start < range.end && range.start < it.start + it.length
        }) {
            log::warn!(
                "iommu: reserved memory at {:#x} to {:#x}: the kernel uses {:#x} of it (ignored)",
                region.base,
                region.limit,
                used.start.max(range.start)
            );
            continue;
        }
        for named in scope::find(region.segment, region.scopes.clone()) {
            let source = named.source;
            let is_here = unit_of(region.segment, source).is_some_and(|it| core::ptr::eq(it, unit));
            if !is_here {
                continue;
            }
            let mapped = of(unit, source)
                .and_then(|domain| domain.map_identity(range.clone(), Rights::ReadWrite));
            if let Err(error) = mapped {
                log::warn!(
                    "iommu: {source}: reserved memory at {:#x}: {error} (firmware cannot use the function)",
                    region.base
                );
            }
        }
    }
}

impl Domain {
    /// The unit that translates its requests.
    ///
    /// Context: any.
    #[must_use]
    pub fn unit(&self) -> &'static Unit {
        &units()[self.unit]
    }

    /// The function.
    ///
    /// Context: any.
    #[must_use]
    pub fn source(&self) -> SourceId {
        self.source
    }

    /// Its page tables.
    ///
    /// Context: any.
    #[must_use]
    pub fn tables(&self) -> Tables {
        self.tables
    }

    /// Its mapped pages, in the order of their device addresses.
    ///
    /// Context: thread.
    #[must_use]
    pub fn pages(&self) -> Vec<Mapped> {
        let unit = self.unit();
        let pages = unit.change(|memory, _| Ok(self.tables.pages(memory, 0).collect()));
        pages.unwrap_or_default()
    }

    /// The mapped page that is nearest to a device address.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn nearest(&self, address: u64) -> Option<Mapped> {
        let distance = |page: &Mapped| {
            let last = page.address + (page.size - 1);
            page.address.saturating_sub(address) + address.saturating_sub(last)
        };
        let find = |memory: &Queue| self.tables.pages(memory, 0).min_by_key(distance);
        self.unit().change(|memory, _| Ok(find(memory))).ok()?
    }

    /// Maps memory at its physical addresses.
    pub(super) fn map_identity(&self, range: Range<u64>, rights: Rights) -> Result<(), IommuError> {
        let (first, pages) = (range.start / PAGE, (range.end - range.start) / PAGE);
        self.map_at(range.clone(), range.start, rights)?;
        self.addresses.lock().reserve(first, pages);
        Ok(())
    }

    fn map_at(&self, range: Range<u64>, physical: u64, rights: Rights) -> Result<(), IommuError> {
        self.unit().change(|memory, capability: Capability| {
            let mapped = self.tables.map(memory, capability, range, physical, rights);
            Ok(mapped?)
        })
    }

    /// Maps `pages` pages of memory from a physical address on, at free device addresses of at most
    /// `limit`. Returns the first device address.
    pub(super) fn map(
        &self,
        physical: u64,
        pages: u64,
        limit: u64,
        rights: Rights,
    ) -> Result<u64, IommuError> {
        // Aligned like the memory, so that large pages fit.
        let align = pages.next_power_of_two().min(512);
        let address = self.addresses.lock().allocate(pages, align, limit);
        let address = address.ok_or(IommuError::NoAddress(pages))?;
        let range = address..address + pages * PAGE;
        match self.map_at(range, physical, rights) {
            Ok(()) => Ok(address),
            Err(error) => {
                if !error.is_incomplete() {
                    self.addresses.lock().free(address, pages);
                }
                Err(error)
            }
        }
    }

    /// Unmaps pages. When this returns, the function cannot access them any more.
    pub(super) fn unmap(&self, address: u64, pages: u64) -> Result<(), IommuError> {
        let range = address..address + pages * PAGE;
        self.unit()
            .change(|memory, capability| Ok(self.tables.unmap(memory, capability, range)?))?;
        self.addresses.lock().free(address, pages);
        Ok(())
    }
}
