//! I/O APICs and the routing of ISA interrupts to them.

use super::{Problem, ProblemKind, Problems, Topology};
use crate::acpi::Gsi;
use crate::acpi::madt;
use crate::apic::io_apic::{EOI, MAX_PIN};
use crate::apic::{Polarity, Trigger};
use arrayvec::ArrayVec;
use core::fmt;

/// Maximum number of I/O APICs. Machines with eight sockets have about 40.
pub const MAX_IO_APICS: usize = 128;

/// Size of an I/O APIC's registers, in bytes.
const REGISTERS: u32 = EOI as u32 + 4;

/// An I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoApic {
    /// Its ID, which may equal a CPU's APIC ID.
    pub id: u8,
    /// Physical address of its registers.
    pub address: u32,
    /// The GSI of its first pin.
    pub gsi_base: Gsi,
    /// The number of its pins, after [`Topology::set_pins`] has been called.
    pub pins: Option<u8>,
}

/// A pin of an I/O APIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// The index in [`Topology::io_apics`].
    pub io_apic: usize,
    /// The pin.
    pub pin: u8,
}

/// The GSI and the mode of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The GSI.
    pub gsi: Gsi,
    /// The level at which it is asserted.
    pub polarity: Polarity,
    /// Edge-triggered or level-triggered.
    pub trigger: Trigger,
    /// Whether the MADT overrides it; otherwise the ISA default applies.
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

impl IoApic {
    /// The pin of this GSI, if the I/O APIC has it.
    fn pin(&self, gsi: Gsi) -> Option<u8> {
        let pin = u8::try_from(gsi.0.checked_sub(self.gsi_base.0)?).ok()?;
        (pin < self.pins.unwrap_or(MAX_PIN + 1)).then_some(pin)
    }
}

impl Topology {
    /// The I/O APICs, in the table's order.
    #[must_use]
    pub fn io_apics(&self) -> &[IoApic] {
        &self.io_apics
    }

    /// Sets the number of pins of each I/O APIC, 1 to 120, to the result of `pins`. An I/O APIC for
    /// which it returns `None` does not exist and is removed. Of two with the same first GSI, only
    /// the first is kept. Then the problems that depend on the pins are reported: GSIs that belong
    /// to two I/O APICs or are beyond the last GSI, and overrides and NMI sources whose GSI belongs
    /// to none. Indices in [`Topology::io_apics`] change.
    pub fn set_pins(
        &mut self,
        mut pins: impl FnMut(&IoApic) -> Option<u8>,
        problems: &mut Problems,
    ) {
        let mut report = |kind| problems.push(Problem::general(kind));
        let mut present = ArrayVec::<IoApic, MAX_IO_APICS>::new();
        for io_apic in &self.io_apics {
            let Some(pins) = pins(io_apic) else { continue };
            let IoApic {
                address, gsi_base, ..
            } = *io_apic;
            if present.iter().any(|other| other.gsi_base == gsi_base) {
                report(ProblemKind::DuplicateIoApic { address, gsi_base });
            } else {
                present.push(IoApic {
                    pins: Some(pins),
                    ..*io_apic
                });
            }
        }
        self.io_apics = present;
        self.check_gsis(report);
    }

    fn check_gsis(&self, mut report: impl FnMut(ProblemKind)) {
        for io_apic in &self.io_apics {
            let gsi_base = io_apic.gsi_base;
            let pins = io_apic.pins.unwrap_or_default();
            let inside = |&other: &Gsi| other > gsi_base && io_apic.pin(other).is_some();
            let bases = self.io_apics.iter().map(|other| other.gsi_base);
            if let Some(next) = bases.filter(inside).min() {
                report(ProblemKind::GsiOverlap {
                    gsi_base,
                    pins,
                    next,
                });
            }
            if gsi_base.0.checked_add(u32::from(pins.max(1)) - 1).is_none() {
                report(ProblemKind::GsiEnd { gsi_base, pins });
            }
        }
        for (source, &entry) in (0..).zip(&self.overrides) {
            if let Some((gsi, _)) = entry.filter(|&(gsi, _)| self.input(gsi).is_none()) {
                report(ProblemKind::OverrideWithoutInput { source, gsi });
            }
        }
        for nmi in &self.nmi_sources {
            if self.input(nmi.gsi).is_none() {
                report(ProblemKind::NmiSourceWithoutInput { gsi: nmi.gsi });
            }
        }
    }

    /// The pin of a GSI; `None` if no I/O APIC has it. If several have it, the I/O APIC with the
    /// highest first GSI counts. An I/O APIC whose number of pins is not known yet counts as having
    /// the maximum.
    #[must_use]
    pub fn input(&self, gsi: Gsi) -> Option<Input> {
        let (io_apic, pin, _) = self
            .io_apics
            .iter()
            .enumerate()
            .filter_map(|(index, io_apic)| Some((index, io_apic.pin(gsi)?, io_apic.gsi_base)))
            .max_by_key(|&(_, _, base)| base)?;
        Some(Input { io_apic, pin })
    }

    /// The GSI of a pin; `None` for a pin that the I/O APIC does not have or whose GSI belongs to
    /// another I/O APIC.
    #[must_use]
    pub fn gsi(&self, input: Input) -> Option<Gsi> {
        let base = self.io_apics.get(input.io_apic)?.gsi_base;
        let gsi = Gsi(base.0.checked_add(input.pin.into())?);
        (self.input(gsi) == Some(input)).then_some(gsi)
    }

    /// The GSI and mode of ISA interrupt `irq`; `None` above 15. Without an override, it is the GSI
    /// of the same number, active high and edge-triggered.
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
        // Two with the same first GSI are both kept at this stage: one of them may not exist.
        if self
            .io_apics
            .iter()
            .any(|other| other.address.abs_diff(address) < REGISTERS)
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
        let Some(slot) = self.overrides.get_mut(usize::from(source)) else {
            return report(ProblemKind::OverrideSource { source });
        };
        if slot.is_some() {
            return report(ProblemKind::DuplicateOverride { source });
        }
        *slot = Some((gsi, flags));
        if shared {
            report(ProblemKind::SharedGsi { gsi });
        }
        if flags.has_reserved() {
            report(ProblemKind::ReservedFlags { flags });
        }
    }
}
