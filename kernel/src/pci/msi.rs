//! Sending messages by MSI: one address, one datum, and up to 32 messages that differ in the datum's
//! low bits.
//!
//! The registers are in configuration space, so nothing here is for handlers.

use alloc::sync::Arc;

use tocsin_logic::apic::msi::Message;
use tocsin_logic::pci::{MsiCapability, command};

use super::PciError;
use super::device::Claim;

/// A device's messages by MSI. Dropping it turns them off.
#[derive(Debug)]
pub struct Msi {
    claim: Arc<Claim>,
    capability: MsiCapability,
    /// How many messages are on; 0 while they are off.
    count: u8,
}

impl Msi {
    pub(super) fn new(claim: &Arc<Claim>) -> Result<Self, PciError> {
        let function = claim.function;
        let capability = function
            .msi
            .ok_or(PciError::NoMessages(function.address, "MSI"))?;
        claim.take_messages()?;
        Ok(Self {
            claim: Arc::clone(claim),
            capability,
            count: 0,
        })
    }

    /// How many messages the device can send: a power of two, 1 to 32.
    #[must_use]
    pub fn messages(&self) -> u8 {
        self.capability.messages()
    }

    /// Whether messages can be masked one by one.
    #[must_use]
    pub fn can_mask(&self) -> bool {
        self.capability.masks().is_some()
    }

    /// Turns `count` messages on, of which `first` is the first, all of them unmasked; message n has
    /// the data `first.data + n`. The interrupt pin is turned off.
    ///
    /// The device sends nothing unless it is a bus master too.
    ///
    /// # Errors
    ///
    /// [`PciError::Message`], if the device or the capability cannot do that; nothing is changed then.
    pub fn enable(&mut self, first: Message, count: u8) -> Result<(), PciError> {
        let function = self.claim.function;
        let wrong = |error| PciError::Message(function.address, error);
        let writes = self.capability.writes(first, count).map_err(wrong)?;
        self.disable();
        for (register, value) in writes {
            function.set(register, value);
        }
        if let Some(masks) = self.capability.masks() {
            function.set(masks, 0);
        }
        function.change(command::OFFSET, |register| {
            command::changed(register, command::INTX_DISABLE, 0)
        });
        function.change(self.capability.control(), |register| {
            // The number was checked above.
            self.capability.enabled(register, count).unwrap_or(register)
        });
        self.count = count;
        Ok(())
    }

    /// Turns the messages off. What the device has sent before has arrived when this returns.
    pub fn disable(&mut self) {
        let function = self.claim.function;
        function.change(self.capability.control(), MsiCapability::disabled);
        self.flush();
        self.count = 0;
    }

    /// Changes the messages while they are on.
    ///
    /// With masks, all are masked meanwhile, and the device sends afterwards what it would have sent.
    /// Without, only one of address and data may change, in one write; so a message in between is
    /// either the old or the new one.
    ///
    /// # Errors
    ///
    /// [`PciError::Message`], also while they are off; [`PciError::Torn`]. Nothing is changed then.
    pub fn set_message(&mut self, first: Message) -> Result<(), PciError> {
        let function = self.claim.function;
        let wrong = |error| PciError::Message(function.address, error);
        let writes = self.capability.writes(first, self.count).map_err(wrong)?;
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

    /// Masks or unmasks one message. While it is masked, the device remembers one that it would have
    /// sent. What it sent before has arrived when this returns.
    ///
    /// # Errors
    ///
    /// [`PciError::CannotMask`], [`PciError::NoMessage`].
    pub fn set_masked(&self, message: u8, masked: bool) -> Result<(), PciError> {
        let function = self.claim.function;
        let bit = self.bit(message)?;
        let register = self.capability.masks();
        let register = register.ok_or(PciError::CannotMask(function.address))?;
        function.change(
            register,
            |masks| if masked { masks | bit } else { masks & !bit },
        );
        self.flush();
        Ok(())
    }

    /// Whether a masked message waits to be sent.
    ///
    /// # Errors
    ///
    /// [`PciError::CannotMask`], [`PciError::NoMessage`].
    pub fn is_pending(&self, message: u8) -> Result<bool, PciError> {
        let function = self.claim.function;
        let bit = self.bit(message)?;
        let register = self.capability.pending();
        let register = register.ok_or(PciError::CannotMask(function.address))?;
        Ok(function.read(register) & bit != 0)
    }

    /// Waits until what the device has sent has arrived: the answer to a read comes behind it
    /// (PCI, 3.2.5).
    pub fn flush(&self) {
        let _ = self.claim.function.read(self.capability.control());
    }

    fn bit(&self, message: u8) -> Result<u32, PciError> {
        let messages = self.messages();
        if message >= messages {
            return Err(PciError::NoMessage {
                address: self.claim.function.address,
                message: message.into(),
                messages: messages.into(),
            });
        }
        Ok(1 << message)
    }
}

impl Drop for Msi {
    fn drop(&mut self) {
        self.disable();
        self.claim.release_messages();
    }
}
