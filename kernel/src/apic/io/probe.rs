//! Finding the I/O APICs that the MADT lists, and taking them from firmware.

use alloc::vec::Vec;
use core::fmt;

use tocsin_logic::apic::io_apic;
use tocsin_logic::memory_map::{Misplaced, Placement};
use tocsin_logic::topology::{self, Topology};
use x2apic::ioapic::IoApic as Registers;

use super::{IoApic, LENGTH, reset};
use crate::hw::mmio::Mmio;
use crate::memory::probe::Probe;
use crate::memory::{MemoryError, paging};
use crate::sync::IrqMutex;

impl io_apic::Registers for Mmio {
    fn read(&self, offset: u64) -> u32 {
        Self::read(self, offset)
    }

    fn write(&self, offset: u64, value: u32) {
        Self::write(self, offset, value);
    }
}

/// Finds the I/O APICs of `topology` and masks their entries, except those that deliver SMIs, which
/// firmware uses. An I/O APIC that has an impossible address or does not respond is ignored and
/// logged. Returns the others.
///
/// # Safety
///
/// Once, on the boot CPU, before anything uses an I/O APIC.
pub(crate) unsafe fn probe(topology: &Topology, placement: &Placement<'_>) -> Vec<IoApic> {
    let found = topology.io_apics().iter().filter_map(|entry| {
        // SAFETY: Passed on to the caller.
        let found = unsafe { probe_one(entry, placement) };
        found
            .inspect_err(|problem| {
                let topology::IoApic { id, address, .. } = entry;
                log::warn!("ioapic: I/O APIC {id} at {address:#x} {problem} (ignored)");
            })
            .ok()
    });
    found.collect()
}

/// The reason why there is no I/O APIC at the address in the table.
enum ProbeError {
    Misplaced(Misplaced),
    Unmapped(MemoryError),
    Silent,
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Misplaced(error) => write!(f, "cannot be {error}"),
            Self::Unmapped(error) => write!(f, "cannot be mapped: {error}"),
            Self::Silent => f.write_str("does not respond"),
        }
    }
}

/// # Safety
///
/// As [`probe`].
unsafe fn probe_one(
    entry: &topology::IoApic,
    placement: &Placement<'_>,
) -> Result<IoApic, ProbeError> {
    let address = u64::from(entry.address);
    let placed = placement.check(address, LENGTH);
    placed.map_err(ProbeError::Misplaced)?;
    // SAFETY: Firmware says that registers are here, and neither the memory map nor another table
    // contradicts it.
    let mapping = unsafe { Probe::map(address, LENGTH, paging::Use::Device) };
    let mapping = mapping.map_err(ProbeError::Unmapped)?;
    // SAFETY: The range is mapped as long as `mapping` lives.
    let window = unsafe { Mmio::new(mapping.address(), LENGTH) };
    let version = io_apic::identify(&window).ok_or(ProbeError::Silent)?;
    let smi_pins = io_apic::smi_pins(&window, version);
    let page = mapping.keep();
    // SAFETY: The registers stay mapped, and this is the only handle to them from now on.
    let mut registers = unsafe { Registers::new(page) };
    for pin in (0..version.pins()).filter(|pin| smi_pins >> pin & 1 == 0) {
        // Firmware's other entries are overwritten; they may even be invalid.
        // SAFETY: The I/O APIC has this entry, and interrupts are disabled.
        unsafe { reset(&mut registers, page, version, pin) };
    }
    Ok(IoApic {
        id: entry.id,
        // SAFETY: As above: reading changes nothing.
        register_id: unsafe { registers.id() },
        address,
        gsi_base: entry.gsi_base.get(),
        pins: version.pins().into(),
        version,
        gsis: Vec::new(),
        smi_pins,
        page,
        registers: IrqMutex::new(registers),
    })
}
