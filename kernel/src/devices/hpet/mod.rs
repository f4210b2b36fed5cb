//! The HPET: comparators that interrupt once or again and again, through a pin of an I/O APIC or as a
//! message.
//!
//! Its counter runs already: the kernel's clocks have been measured with it. What firmware did with it
//! was undone then.

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

pub use comparator::{Comparator, Event, Way};

const NAME: &str = "HPET";

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The HPET, its comparators silent.
#[derive(Debug)]
pub struct Hpet {
    registers: Mmio,
    capabilities: Capabilities,
    clock: Clock,
    _ownership: Ownership,
}

impl Hpet {
    /// Takes the HPET that the ACPI table names, and silences all its comparators. They are free for
    /// another driver when all of these are dropped.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Absent`], [`DeviceError::Taken`], [`DeviceError::Memory`].
    pub fn claim() -> Result<Vec<Comparator>, DeviceError> {
        let absent = |why| DeviceError::Absent(NAME, why);
        let found = machine().and_then(|machine| Some((machine, machine.hpet?)));
        let (machine, table) = found.ok_or(absent("there is no sound HPET table"))?;
        let ownership = Ownership::take(&TAKEN, NAME)?;
        // SAFETY: 1. The machine's own table says that an HPET is there.
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

    /// The main counter.
    fn counter(&self) -> u64 {
        // Of one with 32 bits the upper half may be anything.
        if self.capabilities.is_wide() {
            self.registers.read(COUNTER)
        } else {
            self.registers.read::<u32>(COUNTER).into()
        }
    }
}

/// What [`Event::every`] has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Periods {
    first: u64,
    counts: u64,
}
