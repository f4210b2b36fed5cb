//! Interrupt messages by MSI: one address, one data value, and up to 32 messages that differ in the
//! low bits of the data.
//!
//! The registers are in configuration space.

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use tocsin_logic::apic::msi::Message;
use tocsin_logic::pci::{MsiCapability, command};

use super::PciError;
use super::device::Claim;
use crate::line::{MessageTarget, Messages};

/// The MSI messages of a device; a line can be [attached](crate::line::Line::attach) to them.
/// Dropping it disables MSI.
///
/// The device sends messages only while bus mastering is enabled.
#[derive(Debug)]
pub struct Msi {
    claim: Arc<Claim>,
    capability: MsiCapability,
    /// Number of enabled messages; 0 until they are set for the first time.
    count: u8,
    is_masked: bool,
}

impl Msi {
    pub(super) fn new(claim: &Arc<Claim>) -> Result<Self, PciError> {
        let function = claim.function;
        let capability = function
            .msi
            .ok_or(PciError::NoMessages(function.address, "MSI"))?;
        claim.claim_messages()?;
        Ok(Self {
            claim: Arc::clone(claim),
            capability,
            count: 0,
            is_masked: false,
        })
    }

    /// Number of messages that the device can send: a power of two, 1 to 32.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn messages(&self) -> u8 {
        self.capability.messages()
    }

    /// Sets the messages while MSI is disabled, and enables it. Disables the interrupt pin.
    fn turn_on(&mut self, first: Message, count: u8) -> Result<(), PciError> {
        let function = self.claim.function;
        let writes = self.writes(first, count)?;
        for (register, value) in writes {
            function.set(register, value);
        }
        function.change(command::OFFSET, |register| {
            command::changed(register, command::INTX_DISABLE, 0)
        });
        self.count = count;
        self.apply_mask();
        if self.can_mask() {
            self.set_enabled(true);
        }
        Ok(())
    }

    /// Changes the messages while MSI is enabled. With per-vector masking, all are masked during
    /// the change, and the device sends pending messages afterwards. Without, only one of address
    /// and data may change, in one write, so that the device sends either the old or the new
    /// message.
    fn change(&self, first: Message) -> Result<(), PciError> {
        let function = self.claim.function;
        let writes = self.writes(first, self.count)?;
        if let Some(register) = self.capability.masks() {
            let masks = function.read(register);
            function.set(register, u32::MAX);
            self.flush();
            for (register, value) in writes {
                function.set(register, value);
            }
            function.set(register, masks);
            return Ok(());
        }
        let mut changes = writes
            .into_iter()
            .filter(|&(register, value)| function.read(register) != value);
        let change = changes.next();
        if changes.next().is_some() {
            return Err(PciError::Torn(function.address));
        }
        if let Some((register, value)) = change {
            function.set(register, value);
        }
        Ok(())
    }

    fn writes(
        &self,
        first: Message,
        count: u8,
    ) -> Result<impl IntoIterator<Item = (u16, u32)> + use<>, PciError> {
        let address = self.claim.function.address;
        let writes = self.capability.writes(first, count);
        writes.map_err(|error| PciError::Message(address, error))
    }

    /// Applies the mask state: by the mask register or, without one, by the enable bit.
    fn apply_mask(&self) {
        match self.capability.masks() {
            Some(register) => {
                let masks = if self.is_masked { u32::MAX } else { 0 };
                self.claim.function.set(register, masks);
            }
            None => self.set_enabled(!self.is_masked),
        }
    }

    fn set_enabled(&self, enabled: bool) {
        let function = self.claim.function;
        function.change(self.capability.control(), |register| {
            if enabled {
                // The count was checked when the messages were set.
                let on = self.capability.enabled(register, self.count);
                on.unwrap_or(register)
            } else {
                MsiCapability::disabled(register)
            }
        });
    }
}

impl Messages for Msi {
    fn can_mask(&self) -> bool {
        self.capability.masks().is_some()
    }

    fn set(&mut self, target: &MessageTarget) -> Result<(), String> {
        let done = if self.count == 0 {
            self.turn_on(target.first(), target.count())
        } else {
            self.change(target.first())
        };
        done.map_err(|error| error.to_string())
    }

    fn set_masked(&mut self, masked: bool) {
        self.is_masked = masked;
        if self.count > 0 {
            self.apply_mask();
            self.flush();
        }
    }

    fn is_pending(&self) -> bool {
        let register = self.capability.pending();
        register.is_some_and(|register| self.claim.function.read(register) != 0)
    }

    /// A read completion is ordered after earlier writes of the device (PCI, 3.2.5).
    fn flush(&self) {
        let _ = self.claim.function.read(self.capability.control());
    }
}

impl fmt::Display for Msi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MSI of {}", self.claim.function.address)
    }
}

impl Drop for Msi {
    fn drop(&mut self) {
        self.set_enabled(false);
        self.flush();
        self.claim.release_messages();
    }
}
