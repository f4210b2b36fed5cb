//! The capabilities of a PCI function.

use core::fmt;

use serde::Serialize;
use tocsin_logic::pci::extended::Extended;
use tocsin_logic::pci::msix::Location;
use tocsin_logic::pci::{Address, Capability};

use crate::record::as_text;
use tocsin::pci::Function;

/// A capability.
#[derive(Serialize)]
pub(super) struct CapabilityRecord {
    #[serde(serialize_with = "as_text")]
    address: Address,
    offset: u16,
    id: u16,
    /// The version of an extended capability; none for the others.
    version: Option<u8>,
    name: &'static str,
    msi: Option<MsiRecord>,
    msix: Option<MsixRecord>,
}

#[derive(Serialize)]
struct MsiRecord {
    messages: u8,
    is_64_bit: bool,
    has_masks: bool,
}

/// Each location is the number of a BAR and an offset.
#[derive(Serialize)]
struct MsixRecord {
    messages: u16,
    table: (u8, u32),
    pending: (u8, u32),
}

impl CapabilityRecord {
    pub(super) fn of(function: &Function, found: Capability) -> Self {
        let offset = u16::from(found.offset);
        let msi = function.msi.filter(|msi| msi.control() == offset);
        let msix = function.msix.filter(|msix| msix.control() == offset);
        let location = |location: Location| (location.bar, location.offset);
        Self {
            address: function.address,
            offset,
            id: found.id.into(),
            version: None,
            name: found.name(),
            msi: msi.map(|msi| MsiRecord {
                messages: msi.messages(),
                is_64_bit: msi.is_64_bit(),
                has_masks: msi.masks().is_some(),
            }),
            msix: msix.map(|msix| MsixRecord {
                messages: msix.messages(),
                table: location(msix.table),
                pending: location(msix.pending),
            }),
        }
    }

    pub(super) fn extended(function: &Function, found: Extended) -> Self {
        Self {
            address: function.address,
            offset: found.offset,
            id: found.id,
            version: Some(found.version),
            name: found.name(),
            msi: None,
            msix: None,
        }
    }
}

impl fmt::Display for CapabilityRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offset, name, .. } = self;
        if let Some(version) = self.version {
            return write!(f, "  {offset:#05x}         {name}, version {version}");
        }
        write!(f, "  {offset:#04x}          {name}")?;
        if let Some(msi) = &self.msi {
            let width = if msi.is_64_bit { 64 } else { 32 };
            let masks = if msi.has_masks { "with" } else { "no" };
            let messages = msi.messages;
            write!(
                f,
                ": {messages} messages, {width}-bit address, {masks} masks"
            )?;
        }
        if let Some(msix) = &self.msix {
            let (table, pending) = (msix.table, msix.pending);
            write!(
                f,
                ": {} messages, table in BAR {} at {:#x}, pending bits in BAR {} at {:#x}",
                msix.messages, table.0, table.1, pending.0, pending.1
            )?;
        }
        Ok(())
    }
}
