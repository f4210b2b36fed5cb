//! Reference clocks of known frequency, against which the others are measured: HPET, ACPI PM timer,
//! PIT.

use tocsin_logic::acpi::AddressSpace;
use tocsin_logic::acpi::fadt::Fadt;
use tocsin_logic::acpi::hpet::Hpet;
use tocsin_logic::apic::calibration::{Clock, READS, attempt, most_precise};
use tocsin_logic::devices::hpet;

use crate::hw::mmio::Mmio;
use crate::hw::{pit, port, processor};
use crate::memory::{MemoryError, paging};
use crate::time::Source;

/// A reference clock of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Reference {
    /// The kind of clock.
    pub clock: Clock,
    place: Place,
}

/// The location of a counter.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The HPET's registers.
    Memory(Mmio),
    Port(u16),
    Pit,
}

/// The progress of two counters during an interval of a [`Reference`].
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    clock: Clock,
    counts: u64,
    /// Wrapping counts of the first and the second counter.
    ticks: [u64; 2],
}

impl Interval {
    /// The frequency of the first or the second counter (0 or 1), in Hz.
    ///
    /// Context: any.
    #[must_use]
    pub fn frequency(&self, counter: usize) -> Option<u64> {
        self.clock.frequency(self.ticks[counter], self.counts)
    }
}

impl Reference {
    /// The best clock that the tables list and that runs.
    ///
    /// # Safety
    ///
    /// The tables must be this machine's.
    pub(crate) unsafe fn find(hpet: Option<&Hpet>, fadt: Option<&Fadt>) -> Self {
        // SAFETY: The caller guarantees it.
        hpet.and_then(|hpet| unsafe { Self::hpet(hpet.address) })
            .or_else(|| fadt.and_then(Self::pm_timer))
            .unwrap_or(Self {
                clock: Clock::Pit,
                place: Place::Pit,
            })
    }

    /// The source of a frequency that was measured against this clock.
    ///
    /// Context: any.
    #[must_use]
    pub fn source(&self) -> Source {
        match self.clock {
            Clock::Hpet { .. } => Source::Hpet,
            Clock::PmTimer { .. } => Source::PmTimer,
            Clock::Pit => Source::Pit,
        }
    }

    /// Maps the HPET at physical `address`, takes it over from firmware and starts it.
    ///
    /// # Safety
    ///
    /// The address must be that of an HPET.
    unsafe fn hpet(address: u64) -> Option<Self> {
        // SAFETY: The caller guarantees it.
        let registers = unsafe { map_hpet(address) }.ok()?;
        let clock = Clock::hpet(registers.read::<u64>(hpet::CAPABILITIES))?;
        hpet::take_over(&registers);
        Self {
            clock,
            place: Place::Memory(registers),
        }
        .if_running()
    }

    fn pm_timer(table: &Fadt) -> Option<Self> {
        let timer = table.pm_timer?;
        if timer.register.space != AddressSpace::Io {
            log::warn!(
                "ACPI PM timer at {}: not an I/O port; not used",
                timer.register
            );
            return None;
        }
        let port = u16::try_from(timer.register.address).ok()?;
        let clock = Clock::PmTimer { wide: timer.wide };
        Self {
            clock,
            place: Place::Port(port),
        }
        .if_running()
    }

    fn if_running(self) -> Option<Self> {
        let start = self.count();
        let runs = (0..READS).any(|_| self.count() != start);
        if !runs {
            log::warn!("{}: the counter stands still; not used", self.clock);
        }
        runs.then_some(self)
    }

    fn count(&self) -> u64 {
        match self.place {
            Place::Memory(registers) => registers.read(hpet::COUNTER),
            // SAFETY: The FADT lists the timer at this port; reading has no side effect.
            Place::Port(port) => u64::from(unsafe { port::read::<u32>(port) }),
            Place::Pit => 0,
        }
    }

    /// Counts for about `milliseconds` (1..=50) and reads `counters` at both ends. Returns `None`
    /// if the reference stops meanwhile.
    pub(crate) fn measure(
        &self,
        milliseconds: u64,
        counters: impl Fn() -> [u64; 2],
    ) -> Option<Interval> {
        let clock = self.clock;
        let wanted = clock.counts(milliseconds * 1_000_000);
        let found = match self.place {
            Place::Pit => pit::measure(u16::try_from(wanted).ok()?, counters)?,
            Place::Memory(_) | Place::Port(_) => {
                let count = || self.count();
                most_precise(|| attempt(clock, wanted, processor::timestamp, count, &counters))?
            }
        };
        let ticks = |counter: usize| found.end[counter].wrapping_sub(found.start[counter]);
        Some(Interval {
            clock,
            counts: found.counts,
            ticks: [ticks(0), ticks(1)],
        })
    }
}

impl hpet::Registers for Mmio {
    fn read(&self, offset: u64) -> u64 {
        Self::read(self, offset)
    }

    fn write(&self, offset: u64, value: u64) {
        Self::write(self, offset, value);
    }
}

/// Maps the registers of the HPET at physical `address`.
///
/// # Errors
///
/// [`MemoryError`], if the registers cannot be mapped.
///
/// # Safety
///
/// The address must be that of an HPET.
pub(crate) unsafe fn map_hpet(address: u64) -> Result<Mmio, MemoryError> {
    // SAFETY: The caller guarantees it.
    let start = unsafe { paging::map_physical(address, hpet::LENGTH, paging::Use::Device)? };
    // SAFETY: The range was just mapped; the address is a multiple of 8, as the ACPI table
    // requires. An HPET writes to memory only the messages that its driver sets up.
    Ok(unsafe { Mmio::new(start, hpet::LENGTH) })
}
