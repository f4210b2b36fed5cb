//! The HPET: comparators with one-shot or periodic interrupts, through a pin of an I/O APIC or as a
//! message.
//!
//! The counter is already running: the kernel used it to calibrate its clocks, and reset firmware's
//! configuration then.

mod comparator;
mod message;
mod registers;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::AtomicBool;

use tocsin_logic::apic::calibration::Clock;
use tocsin_logic::devices::hpet::{CAPABILITIES, COUNTER, Capabilities};

use super::{DeviceError, Ownership};
use crate::discover::machine;
use crate::hw::mmio::Mmio;
use crate::timer::reference;

pub use comparator::{Comparator, Connection, Event};

const NAME: &str = "HPET";

static CLAIMED: AtomicBool = AtomicBool::new(false);

/// The HPET, with all comparators disabled.
#[derive(Debug)]
pub struct Hpet {
    registers: Mmio,
    capabilities: Capabilities,
    clock: Clock,
    _ownership: Ownership,
}

impl Hpet {
    /// Claims the HPET that the ACPI table describes, and disables the interrupts of all
    /// comparators. Another driver can claim them when all of them are dropped.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Absent`], [`DeviceError::Claimed`], [`DeviceError::Memory`].
    pub fn claim() -> Result<Vec<Comparator>, DeviceError> {
        let absent = |why| DeviceError::Absent(NAME, why);
        let found = machine().and_then(|machine| Some((machine, machine.hpet?)));
        let (machine, table) = found.ok_or(absent("no valid HPET table"))?;
        let ownership = Ownership::claim(&CLAIMED, NAME)?;
        // SAFETY: The machine's ACPI table reports an HPET at this address.
        let registers = unsafe { reference::map_hpet(table.address) };
        let registers = registers.map_err(|error| DeviceError::Memory(NAME, error))?;
        let raw = registers.read(CAPABILITIES);
        let clock = Clock::hpet(raw).ok_or(absent("its capabilities are impossible"))?;
        let hpet = Arc::new(Self {
            registers,
            capabilities: Capabilities(raw),
            clock,
            _ownership: ownership,
        });
        let numbers = 0..hpet.capabilities.comparators();
        Ok(numbers
            .map(|number| Comparator::new(Arc::clone(&hpet), number, &machine.topology))
            .collect())
    }

    /// The value of the main counter.
    fn counter(&self) -> u64 {
        // The upper half of a 32-bit counter is undefined.
        if self.capabilities.is_wide() {
            self.registers.read(COUNTER)
        } else {
            self.registers.read::<u32>(COUNTER).into()
        }
    }
}

/// The first periodic interrupts, as set up by [`Event::every`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    first: u64,
    counts: u64,
}
