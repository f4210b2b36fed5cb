//! The source of a line's interrupts: an input of an I/O APIC, a device's messages, or IPIs only.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use tocsin_logic::apic::{ApicId, Rte, Trigger};
use tocsin_logic::irq::affinity;
use tocsin_logic::irq::route::{Pin, Route, resolve};
use tocsin_logic::vector::Vector;

use crate::apic::io::Input;
use crate::discover::machine;
use crate::line::LineError;
use crate::line::message::MessageTarget;

/// The source that a driver requests: an ISA interrupt, a GSI, or messages.
pub use tocsin_logic::irq::route::Request as Source;

/// Messages that a device writes: its MSI, or one message of its MSI-X. Bus drivers implement the
/// trait, and [`Line::attach`](crate::line::Line::attach) takes it.
///
/// Dropping it must leave the device silent: when the drop returns, no message is in flight.
///
/// Its `Display` names the device and the kind.
pub trait Messages: fmt::Debug + fmt::Display + Send {
    /// Whether the device records interrupts as pending while it is masked.
    ///
    /// Context: any but NMI.
    fn can_mask(&self) -> bool;

    /// Sets the device's messages. If the device cannot mask, a call after the first changes either
    /// the address or the data, not both. The mask does not change.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// A sentence that names the device and gives the reason; the device then keeps its old
    /// messages.
    fn set(&mut self, target: &MessageTarget) -> Result<(), String>;

    /// Masks or unmasks all messages. Where the device cannot mask, messages are lost meanwhile.
    ///
    /// Context: any but NMI.
    fn set_masked(&mut self, masked: bool);

    /// Whether a masked message is pending.
    ///
    /// Context: any but NMI.
    fn is_pending(&self) -> bool;

    /// Waits until all messages that have been sent have arrived.
    ///
    /// Context: any but NMI.
    fn flush(&self);
}

/// The source of a line's interrupts.
#[derive(Debug)]
pub(super) enum LineSource {
    /// IPIs only, at least until messages are attached.
    Ipi,
    Pin(Pin, Input),
    Messages(Box<dyn Messages>),
}

impl LineSource {
    /// Finds and allocates the requested source.
    pub(super) fn allocate(source: Source) -> Result<Self, LineError> {
        if source == Source::Message {
            return Ok(Self::Ipi);
        }
        let topology = &machine().expect("lines come after discovery").topology;
        match resolve(source, topology).map_err(LineError::Route)? {
            Route::Message => Ok(Self::Ipi),
            Route::Pin(pin) => {
                let input = Input::claim(pin.gsi).map_err(LineError::Input)?;
                Ok(Self::Pin(pin, input))
            }
        }
    }

    /// The pin, if the source is one.
    pub(super) fn pin(&self) -> Option<Pin> {
        match self {
            Self::Pin(pin, _) => Some(*pin),
            Self::Ipi | Self::Messages(_) => None,
        }
    }

    /// Whether it is a level-triggered input.
    pub(super) fn is_level(&self) -> bool {
        self.pin()
            .is_some_and(|pin| pin.mode.trigger == Trigger::Level)
    }

    /// The kind of source, which determines the steps of a move.
    pub(super) fn kind(&self) -> affinity::SourceKind {
        match self {
            Self::Pin(..) if self.is_level() => affinity::SourceKind::LevelPin,
            Self::Pin(..) => affinity::SourceKind::EdgePin,
            Self::Messages(messages) if !messages.can_mask() => affinity::SourceKind::PlainMessage,
            // Senders of IPIs wait while the target changes.
            Self::Messages(_) | Self::Ipi => affinity::SourceKind::MaskableMessage,
        }
    }

    /// Whether the source can address the CPU.
    pub(super) fn check(&self, vector: Vector, target: ApicId) -> Result<(), LineError> {
        match self {
            Self::Ipi => Ok(()),
            Self::Pin(pin, _) => entry(pin, vector, target).map(drop),
            Self::Messages(_) => message(vector, 1, target).map(drop),
        }
    }

    /// Routes its interrupts to these vectors of the CPU. Masks do not change.
    pub(super) fn set_route(
        &mut self,
        vector: Vector,
        count: u8,
        target: ApicId,
    ) -> Result<(), LineError> {
        match self {
            Self::Ipi => Ok(()),
            Self::Pin(pin, input) => {
                let masked = input.entry().masked;
                let entry = entry(pin, vector, target)?.with_mask(masked);
                // SAFETY: the line has handlers for the vector on the CPU, and the vector belongs
                // to the line.
                unsafe { input.set(entry) }.map_err(LineError::Target)
            }
            Self::Messages(messages) => messages
                .set(&message(vector, count, target)?)
                .map_err(LineError::Messages),
        }
    }

    pub(super) fn set_masked(&mut self, masked: bool) {
        match self {
            Self::Ipi => {}
            Self::Pin(_, input) => input.set_masked(masked),
            Self::Messages(messages) => messages.set_masked(masked),
        }
    }

    /// Whether none of its interrupts is in flight: no message of an input is pending delivery and,
    /// with `with_eoi`, no level-triggered interrupt awaits its EOI. For messages, this waits until
    /// those sent have arrived.
    pub(super) fn is_idle(&self, with_eoi: bool) -> bool {
        match self {
            Self::Ipi => true,
            Self::Pin(_, input) => {
                let entry = input.entry();
                !(entry.pending || with_eoi && entry.remote_irr)
            }
            Self::Messages(messages) => {
                messages.flush();
                true
            }
        }
    }

    /// Whether storms can be stopped: IPIs cannot be masked.
    pub(super) fn can_stop_storms(&self) -> bool {
        !matches!(self, Self::Ipi)
    }
}

impl fmt::Display for LineSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ipi => f.write_str("IPIs"),
            Self::Pin(pin, _) => pin.fmt(f),
            Self::Messages(messages) => messages.fmt(f),
        }
    }
}

fn entry(pin: &Pin, vector: Vector, target: ApicId) -> Result<Rte, LineError> {
    pin.entry(vector, target, false).map_err(LineError::Target)
}

fn message(vector: Vector, count: u8, target: ApicId) -> Result<MessageTarget, LineError> {
    MessageTarget::new(vector, count, target).map_err(LineError::Target)
}
