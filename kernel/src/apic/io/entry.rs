//! Redirection entries in the form of the `x2apic` crate.

use tocsin_logic::apic::{Delivery, EncodingError, Polarity, Rte, Trigger};
use x2apic::ioapic::{IrqFlags, IrqMode, RedirectionTableEntry};

/// The entry in the `x2apic` crate's form.
pub(super) fn to_crate(entry: Rte) -> Result<RedirectionTableEntry, EncodingError> {
    entry.encode()?;
    let destination = u8::try_from(entry.destination).map_err(|_| EncodingError::Destination {
        id: entry.destination.into(),
        max: Rte::MAX_DESTINATION,
    })?;
    let mut flags = IrqFlags::empty();
    flags.set(IrqFlags::MASKED, entry.masked);
    flags.set(IrqFlags::LOW_ACTIVE, entry.polarity == Polarity::Low);
    flags.set(IrqFlags::LEVEL_TRIGGERED, entry.trigger == Trigger::Level);
    flags.set(IrqFlags::LOGICAL_DEST, entry.logical);
    let mut raw = RedirectionTableEntry::default();
    raw.set_vector(entry.vector);
    raw.set_mode(match entry.delivery {
        Delivery::LowestPriority => IrqMode::LowestPriority,
        Delivery::Smi => IrqMode::SystemManagement,
        Delivery::Nmi => IrqMode::NonMaskable,
        Delivery::Init => IrqMode::Init,
        Delivery::ExtInt => IrqMode::External,
        // `encode` rejects start-up IPIs.
        Delivery::Fixed | Delivery::StartUp => IrqMode::Fixed,
    });
    raw.set_flags(flags);
    raw.set_dest(destination);
    Ok(raw)
}

/// The opposite of [`to_crate`].
pub(super) fn from_crate(raw: &RedirectionTableEntry) -> Rte {
    let flags = raw.flags();
    Rte {
        vector: raw.vector(),
        delivery: match raw.mode() {
            IrqMode::Fixed => Delivery::Fixed,
            IrqMode::LowestPriority => Delivery::LowestPriority,
            IrqMode::SystemManagement => Delivery::Smi,
            IrqMode::NonMaskable => Delivery::Nmi,
            IrqMode::Init => Delivery::Init,
            IrqMode::External => Delivery::ExtInt,
        },
        logical: flags.contains(IrqFlags::LOGICAL_DEST),
        pending: flags.contains(IrqFlags::SEND_PENDING),
        polarity: if flags.contains(IrqFlags::LOW_ACTIVE) {
            Polarity::Low
        } else {
            Polarity::High
        },
        remote_irr: flags.contains(IrqFlags::REMOTE_IRR),
        trigger: if flags.contains(IrqFlags::LEVEL_TRIGGERED) {
            Trigger::Level
        } else {
            Trigger::Edge
        },
        masked: flags.contains(IrqFlags::MASKED),
        destination: raw.dest().into(),
    }
}
