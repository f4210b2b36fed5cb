//! Interrupt routing: the input and the mode of an interrupt that a driver requests.
//!
//! Drivers know an ISA interrupt, or a GSI from ACPI, or that their device sends messages. The MADT
//! may route an ISA interrupt to another GSI or give it another polarity; it may also contradict
//! itself. This module rejects contradictions and reports both sides, because a pin with the wrong
//! polarity or trigger mode delivers no interrupts or a storm.

use crate::acpi::Gsi;
use crate::apic::{ApicId, EncodingError, Polarity, Rte, Trigger};
use crate::topology::{Input, Topology};
use crate::vector::Vector;
use core::fmt;

/// The request of a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    /// An interrupt of the ISA bus, 0 to 15: 0 is the PIT, 1 the keyboard, 4 COM1, 8 the RTC.
    Isa(u8),
    /// A GSI, as given by ACPI's `_PRT` or a table.
    Gsi {
        /// The GSI.
        gsi: Gsi,
        /// The mode, if the source of the GSI specifies it. `None`: that of the ISA interrupt with
        /// this GSI, or else the PCI default, active low and level-triggered (ACPI 6.5, 6.2.13).
        mode: Option<Mode>,
    },
    /// Messages that the device writes itself (MSI, MSI-X).
    Message,
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isa(irq) => write!(f, "ISA IRQ {irq}"),
            Self::Gsi { gsi, mode: None } => write!(f, "GSI {gsi}"),
            Self::Gsi {
                gsi,
                mode: Some(mode),
            } => write!(f, "GSI {gsi} ({mode})"),
            Self::Message => f.write_str("messages"),
        }
    }
}

/// The polarity and trigger mode of a pin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mode {
    /// The level at which it is asserted.
    pub polarity: Polarity,
    /// Edge-triggered or level-triggered.
    pub trigger: Trigger,
}

impl Mode {
    /// The mode of the ISA bus: active high, edge-triggered.
    pub const ISA: Self = Self {
        polarity: Polarity::High,
        trigger: Trigger::Edge,
    };
    /// The mode of PCI interrupt pins: active low, level-triggered.
    pub const PCI: Self = Self {
        polarity: Polarity::Low,
        trigger: Trigger::Level,
    };
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "active {}, {}", self.polarity, self.trigger)
    }
}

/// The route of an interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To a pin of an I/O APIC.
    Pin(Pin),
    /// A message, directly to a CPU.
    Message,
}

/// The pin of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin {
    /// Its GSI.
    pub gsi: Gsi,
    /// The I/O APIC and its pin.
    pub input: Input,
    /// The mode of the interrupt.
    pub mode: Mode,
    /// The source of the mode.
    pub mode_source: ModeSource,
}

impl Pin {
    /// The redirection entry that delivers the pin's interrupts to a CPU, unmasked. `extended` as
    /// in [`Rte::fixed`].
    ///
    /// # Errors
    ///
    /// Those of [`Rte::fixed`].
    pub const fn entry(
        &self,
        vector: Vector,
        cpu: ApicId,
        extended: bool,
    ) -> Result<Rte, EncodingError> {
        let Mode { polarity, trigger } = self.mode;
        Rte::fixed(vector.get(), cpu, polarity, trigger, extended)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "GSI {}, pin {} of I/O APIC {}, {} ({})",
            self.gsi, self.input.pin, self.input.io_apic, self.mode, self.mode_source
        )
    }
}

/// The source of a pin's mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ModeSource {
    /// The pin has this ISA interrupt, which the MADT does not override.
    Isa(u8),
    /// The MADT's override of this ISA interrupt.
    Override(u8),
    /// The pin has no ISA interrupt, so the PCI default applies.
    Pci,
    /// The request.
    Request,
}

impl fmt::Display for ModeSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Isa(irq) => write!(f, "ISA IRQ {irq}"),
            Self::Override(irq) => write!(f, "ISA IRQ {irq}, overridden"),
            Self::Pci => f.write_str("PCI default"),
            Self::Request => f.write_str("as requested"),
        }
    }
}

/// The reason why a request has no route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteError {
    /// ISA has interrupts 0 to 15.
    NoSuchIsaIrq(u8),
    /// An ISA interrupt without an override would use the GSI of its number, but the MADT assigns
    /// another interrupt to that GSI. So it is not connected, like IRQ 2 on nearly all machines.
    NotConnected {
        /// The requested interrupt; its GSI has the same number.
        irq: u8,
        /// The interrupt that uses the GSI.
        instead: u8,
    },
    /// The MADT assigns two ISA interrupts to one GSI with different modes.
    Contradiction {
        /// The GSI.
        gsi: Gsi,
        /// One interrupt.
        irq: u8,
        /// Its mode.
        mode: Mode,
        /// The other interrupt.
        other: u8,
        /// Its mode.
        other_mode: Mode,
    },
    /// The mode of the request differs from that of the MADT's override of this GSI.
    WrongMode {
        /// The GSI.
        gsi: Gsi,
        /// The mode of the request.
        requested: Mode,
        /// The ISA interrupt that uses the GSI.
        irq: u8,
        /// Its mode.
        mode: Mode,
    },
    /// The GSI is delivered as NMI.
    Nmi(Gsi),
    /// The machine has no I/O APIC.
    NoIoApic,
    /// No I/O APIC has this GSI.
    NoSuchGsi(Gsi),
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchIsaIrq(irq) => {
                write!(f, "there is no ISA IRQ {irq} (they are 0 to 15)")
            }
            Self::NotConnected { irq, instead } => write!(
                f,
                "ISA IRQ {irq} is not connected: the MADT has IRQ {instead} at GSI {irq}"
            ),
            Self::Contradiction {
                gsi,
                irq,
                mode,
                other,
                other_mode,
            } => write!(
                f,
                "the MADT contradicts itself: at GSI {gsi}, IRQ {irq} is {mode}, but IRQ {other} \
                 is {other_mode}"
            ),
            Self::WrongMode {
                gsi,
                requested,
                irq,
                mode,
            } => write!(
                f,
                "GSI {gsi} was requested as {requested}, but the MADT has IRQ {irq} there, {mode} \
                 (request it without a mode)"
            ),
            Self::Nmi(gsi) => write!(
                f,
                "GSI {gsi} is delivered as NMI (it cannot have a handler)"
            ),
            Self::NoIoApic => {
                f.write_str("the machine has no I/O APIC (only messages, MSI, are possible)")
            }
            Self::NoSuchGsi(gsi) => {
                write!(f, "no I/O APIC has GSI {gsi} (`ioapic` lists the GSIs)")
            }
        }
    }
}

impl core::error::Error for RouteError {}

/// Resolves a request to the route of its interrupt.
///
/// # Errors
///
/// [`RouteError`].
pub fn resolve(request: Request, topology: &Topology) -> Result<Route, RouteError> {
    let (gsi, mode, mode_source) = match request {
        Request::Message => return Ok(Route::Message),
        Request::Isa(irq) => isa(irq, topology)?,
        Request::Gsi { gsi, mode } => global(gsi, mode, topology)?,
    };
    if topology.io_apics().is_empty() {
        return Err(RouteError::NoIoApic);
    }
    let input = topology.input(gsi).ok_or(RouteError::NoSuchGsi(gsi))?;
    if topology.nmi_sources().iter().any(|nmi| nmi.gsi == gsi) {
        return Err(RouteError::Nmi(gsi));
    }
    Ok(Route::Pin(Pin {
        gsi,
        input,
        mode,
        mode_source,
    }))
}

type ResolvedGsi = (Gsi, Mode, ModeSource);

/// Resolves an ISA interrupt.
fn isa(irq: u8, topology: &Topology) -> Result<ResolvedGsi, RouteError> {
    let route = topology.isa_irq(irq).ok_or(RouteError::NoSuchIsaIrq(irq))?;
    let gsi = route.gsi;
    let overridden = overridden_to(gsi, topology)?;
    match overridden {
        Some((instead, _)) if !route.overridden => Err(RouteError::NotConnected { irq, instead }),
        Some((_, mode)) => Ok((gsi, mode, ModeSource::Override(irq))),
        None => Ok((gsi, Mode::ISA, ModeSource::Isa(irq))),
    }
}

/// Resolves a GSI.
fn global(
    gsi: Gsi,
    requested: Option<Mode>,
    topology: &Topology,
) -> Result<ResolvedGsi, RouteError> {
    if let Some((irq, mode)) = overridden_to(gsi, topology)? {
        return match requested {
            Some(requested) if requested != mode => Err(RouteError::WrongMode {
                gsi,
                requested,
                irq,
                mode,
            }),
            _ => Ok((gsi, mode, ModeSource::Override(irq))),
        };
    }
    if let Some(requested) = requested {
        return Ok((gsi, requested, ModeSource::Request));
    }
    // Without an override, the ISA interrupt of the same number, unless it is routed to another
    // GSI.
    let irq = u8::try_from(gsi.0).ok();
    let here = irq.filter(|&irq| {
        topology
            .isa_irq(irq)
            .is_some_and(|route| !route.overridden && topology.has_8259())
    });
    Ok(match here {
        Some(irq) => (gsi, Mode::ISA, ModeSource::Isa(irq)),
        None => (gsi, Mode::PCI, ModeSource::Pci),
    })
}

/// The ISA interrupt that the MADT assigns to this GSI, with its mode; the lowest, if several
/// agree.
fn overridden_to(gsi: Gsi, topology: &Topology) -> Result<Option<(u8, Mode)>, RouteError> {
    let mut found: Option<(u8, Mode)> = None;
    for (other, route) in topology.overrides().filter(|(_, route)| route.gsi == gsi) {
        let other_mode = Mode {
            polarity: route.polarity,
            trigger: route.trigger,
        };
        match found {
            None => found = Some((other, other_mode)),
            Some((irq, mode)) if mode != other_mode => {
                return Err(RouteError::Contradiction {
                    gsi,
                    irq,
                    mode,
                    other,
                    other_mode,
                });
            }
            Some(_) => {}
        }
    }
    Ok(found)
}
