//! I/O APICs and the way of ISA interrupts to them.

use super::{Problem, ProblemKind, Problems, Topology};
use crate::acpi::Gsi;
use crate::acpi::madt;
use crate::apic::io_apic::MAX_PIN;
use crate::apic::{Polarity, Trigger};
use core::fmt;

/// The most I/O APICs that are kept. Machines with eight sockets have about 40.
pub const MAX_IO_APICS: usize = 128;

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its ID, which may equal a CPU's APIC ID.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u32,
    /// The GSI of its first pin.
    pub gsi_base: Gsi,
    /// The number of its pins, once [`Topology::set_pin_count`] has been called.
    pub pins: Option<u8>,
}

/// A pin of an I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Its place in [`Topology::io_apics`].
    pub io_apic: usize,
    /// The pin.
    pub pin: u8,
}

/// How an interrupt arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where.
    pub gsi: Gsi,
    /// At which level it is asserted.
    pub polarity: Polarity,
    /// Whether edge or level counts.
    pub trigger: Trigger,
    /// Whether the MADT overrides it; otherwise it is as ISA has it.
    pub overridden: bool,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "GSI {}, active {}, {}",
            self.gsi, self.polarity, self.trigger
        )
    }
}

impl Topology {
    /// The I/O APICs, in the table's order.
    #[must_use]
    pub fn io_apics(&self) -> &[IoApic] {
        &self.io_apics
    }

    /// Notes how many pins an I/O APIC has, 1 to 120, as its version register says.
    /// When all are known, [`Topology::check_gsis`].
    ///
    /// # Panics
    ///
    /// If there is no such I/O APIC.
    pub fn set_pin_count(&mut self, io_apic: usize, pins: u8) {
        self.io_apics[io_apic].pins = Some(pins);
    }

    /// Reports what can only be seen once the pins are known: GSIs that belong to
    /// two I/O APICs, and overrides and NMI sources whose GSI belongs to none.
    pub fn check_gsis(&self, problems: &mut Problems) {
        let mut report = |kind| problems.push(Problem::general(kind));
        for io_apic in &self.io_apics {
            if let (Some(pins), Some(next)) = (io_apic.pins, self.next_base(io_apic.gsi_base))
                && u64::from(io_apic.gsi_base.0) + u64::from(pins) > u64::from(next.0)
            {
                report(ProblemKind::GsiOverlap {
                    gsi_base: io_apic.gsi_base,
                    pins,
                    next,
                });
            }
        }
        for (source, &entry) in (0..).zip(&self.overrides) {
            if let Some((gsi, _)) = entry.filter(|&(gsi, _)| self.input(gsi).is_none()) {
                report(ProblemKind::OverrideNowhere { source, gsi });
            }
        }
        for nmi in &self.nmi_sources {
            if self.input(nmi.gsi).is_none() {
                report(ProblemKind::NmiSourceNowhere { gsi: nmi.gsi });
            }
        }
    }

    /// The pin that a GSI is; `None` if no I/O APIC has it. While an I/O APIC's
    /// pins are not known, it is taken to reach as far as it can.
    #[must_use]
    pub fn input(&self, gsi: Gsi) -> Option<Input> {
        let (index, io_apic) = self
            .io_apics
            .iter()
            .enumerate()
            .filter(|(_, io_apic)| io_apic.gsi_base <= gsi)
            .max_by_key(|(_, io_apic)| io_apic.gsi_base)?;
        let pin = u8::try_from(gsi.0 - io_apic.gsi_base.0).ok()?;
        let pins = io_apic.pins.unwrap_or(MAX_PIN + 1);
        (pin < pins).then_some(Input {
            io_apic: index,
            pin,
        })
    }

    /// The GSI of a pin; `None` for a pin that the I/O APIC does not have or that
    /// another one's GSIs cover.
    #[must_use]
    pub fn gsi(&self, input: Input) -> Option<Gsi> {
        let base = self.io_apics.get(input.io_apic)?.gsi_base;
        let gsi = Gsi(base.0.checked_add(input.pin.into())?);
        (self.input(gsi) == Some(input)).then_some(gsi)
    }

    /// Where ISA interrupt `irq` arrives, and how; `None` above 15. Without an
    /// override that is the GSI of the same number, active high and edge-triggered.
    #[must_use]
    pub fn isa_irq(&self, irq: u8) -> Option<Route> {
        let entry = *self.overrides.get(usize::from(irq))?;
        let (gsi, flags) = entry.unwrap_or((Gsi(irq.into()), madt::InterruptFlags(0)));
        let (polarity, trigger) = flags.on_isa();
        Some(Route {
            gsi,
            polarity,
            trigger,
            overridden: entry.is_some(),
        })
    }

    /// The ISA interrupts that the MADT overrides, with their routes.
    pub fn overrides(&self) -> impl Iterator<Item = (u8, Route)> + '_ {
        (0..16)
            .filter_map(|irq| Some((irq, self.isa_irq(irq)?)))
            .filter(|(_, route)| route.overridden)
    }

    /// The lowest first GSI above this one.
    fn next_base(&self, base: Gsi) -> Option<Gsi> {
        self.io_apics
            .iter()
            .map(|io_apic| io_apic.gsi_base)
            .filter(|&other| other > base)
            .min()
    }

    pub(super) fn add_io_apic(
        &mut self,
        offset: usize,
        entry: madt::IoApic,
        problems: &mut Problems,
    ) {
        let mut report = |kind| problems.push(Problem::at(offset, kind));
        let madt::IoApic {
            id,
            address,
            gsi_base,
        } = entry;
        if address == 0 || address % 16 != 0 {
            return report(ProblemKind::IoApicAddress { address });
        }
        if self
            .io_apics
            .iter()
            .any(|other| other.address == address || other.gsi_base == gsi_base)
        {
            return report(ProblemKind::DuplicateIoApic { address, gsi_base });
        }
        let same_id = self.io_apics.iter().any(|other| other.id == id);
        let io_apic = IoApic {
            id,
            address,
            gsi_base,
            pins: None,
        };
        if self.io_apics.try_push(io_apic).is_err() {
            report(ProblemKind::TooManyIoApics);
        } else if same_id {
            report(ProblemKind::DuplicateIoApicId { id });
        }
    }

    pub(super) fn add_override(
        &mut self,
        offset: usize,
        entry: madt::Override,
        problems: &mut Problems,
    ) {
        let mut report = |kind| problems.push(Problem::at(offset, kind));
        let madt::Override {
            bus,
            source,
            gsi,
            flags,
        } = entry;
        if bus != 0 {
            return report(ProblemKind::OverrideBus { bus });
        }
        let shared = self
            .overrides
            .iter()
            .flatten()
            .any(|&(other, _)| other == gsi);
        let Some(place) = self.overrides.get_mut(usize::from(source)) else {
            return report(ProblemKind::OverrideSource { source });
        };
        if place.is_some() {
            return report(ProblemKind::DuplicateOverride { source });
        }
        *place = Some((gsi, flags));
        if shared {
            report(ProblemKind::SharedGsi { gsi });
        }
        if flags.has_reserved() {
            report(ProblemKind::ReservedFlags { flags });
        }
    }
}
