//! The functions in the scope of a structure of the DMAR.

use alloc::vec::Vec;

use tocsin_logic::acpi::dmar::{Scope, ScopeKind, Scopes};
use tocsin_logic::pci::Address;
use tocsin_logic::vtd::SourceId;

use crate::pci;

/// A device, or a bridge with all devices behind it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub(super) source: SourceId,
    /// The buses behind a bridge.
    buses: Option<(u8, u8)>,
}

impl Named {
    /// Whether requests with this source ID come from here.
    pub(super) fn contains(self, source: SourceId) -> bool {
        let is_behind = |(first, last): (u8, u8)| (first..=last).contains(&source.bus());
        self.source == source || self.buses.is_some_and(is_behind)
    }
}

/// Finds the devices of scopes. Devices that do not exist are left out; invalid scopes are logged.
pub(super) fn find(segment: u16, scopes: Scopes<'_>) -> Vec<Named> {
    let mut found = Vec::new();
    for scope in scopes {
        match scope {
            Ok(scope) => found.extend(resolve(segment, &scope.value)),
            Err(error) => log::warn!("iommu: {error} (skipped)"),
        }
    }
    found
}

fn resolve(segment: u16, scope: &Scope<'_>) -> Option<Named> {
    let function =
        |bus, device, function| pci::function(Address::new(segment, bus, device, function)?);
    let buses = |bus, device, number| function(bus, device, number)?.buses();
    let (bus, device, number) =
        scope.resolve(|bus, device, number| Some(buses(bus, device, number)?.0))?;
    Some(Named {
        source: SourceId::new(bus, device, number),
        buses: match scope.kind {
            ScopeKind::Hierarchy => buses(bus, device, number),
            _ => None,
        },
    })
}
