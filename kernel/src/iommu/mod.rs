//! The IOMMU: VT-d remapping units, which translate and check the DMA of devices.
//!
//! A unit blocks all requests of a function that has no [domain]. Drivers get memory for DMA from
//! [`dma`], which gives a function its domain with the first buffer. A blocked request is a fault:
//! the unit records it, and its [fault interrupt](fault) reports it.
//!
//! `tocsin_logic::vtd` has the layouts, and the order of table changes and invalidations.

pub mod dma;
pub mod domain;
mod error;
pub mod fault;
mod queue;
mod scope;
mod unit;

use alloc::vec::Vec;

use tocsin_logic::acpi::Signature;
use tocsin_logic::acpi::dmar::{Dmar, Structure};
use tocsin_logic::command_line::{IommuOption, Options};
use tocsin_logic::memory_map::MemoryMap;

use crate::discover::Machine;
use crate::pci;

pub use error::IommuError;
pub use unit::{State, Unit, unit_of, units};

/// The DMAR of the machine, if there is a valid one.
fn dmar(machine: &Machine) -> Option<Dmar<'_>> {
    let bytes = machine.tables.as_ref()?.get(Signature::DMAR)?;
    match Dmar::parse(bytes) {
        Ok(dmar) => Some(dmar),
        Err(error) => {
            log::warn!("iommu: {error} (there is no DMA remapping)");
            None
        }
    }
}

/// Finds the units, and enables DMA remapping unless the command line forbids it. From here on,
/// functions can do DMA only to the buffers of their drivers.
///
/// # Safety
///
/// Must be called once, on the boot CPU, before a driver runs.
pub(crate) unsafe fn start(machine: &Machine) {
    if machine
        .tables
        .as_ref()
        .is_some_and(|tables| tables.get(Signature(*b"IVRS")).is_some())
    {
        log::info!("iommu: AMD-Vi is not supported (devices can access all memory)");
    }
    let Some(dmar) = dmar(machine) else { return };
    let (options, _) = Options::parse(&machine.boot.command_line);
    let mut units = Vec::new();
    for structure in dmar.structures() {
        match structure {
            Ok(found) => {
                if let Structure::Drhd(description) = found.value {
                    if pci::is_reserved(&description.registers()) {
                        let error = IommuError::Overlap;
                        log::warn!("iommu: unit at {:#x}: {error}", description.base);
                        continue;
                    }
                    pci::reserve(description.registers());
                    // SAFETY: Passed on to the caller; no other unit has these registers.
                    match unsafe { Unit::new(units.len(), &description) } {
                        Ok(unit) => units.push(unit),
                        Err(error) => log::warn!("iommu: unit at {:#x}: {error}", description.base),
                    }
                }
            }
            Err(error) => log::warn!("iommu: {error} (skipped)"),
        }
    }
    let units = unit::install(units);
    if options.iommu == IommuOption::Off {
        log::info!("iommu: off by the command line (devices can access all memory)");
        return;
    }
    fault::set_up(options.iommu);
    for unit in units {
        match enable(unit, &dmar, &machine.boot.memory) {
            Ok(()) => log::info!("iommu: {unit}: DMA is remapped"),
            Err(error) => log::warn!("iommu: {unit}: {error} (its devices can access all memory)"),
        }
    }
}

fn enable(unit: &Unit, dmar: &Dmar<'_>, memory: &MemoryMap) -> Result<(), IommuError> {
    unit.prepare()?;
    domain::map_reserved_memory(unit, dmar, memory);
    unit.enable_fault_event();
    unit.enable()
}
