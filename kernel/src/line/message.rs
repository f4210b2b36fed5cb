//! The messages that a device sends for a line.

use tocsin_logic::apic::msi::Message;
use tocsin_logic::apic::{ApicId, EncodingError, Msi};
use tocsin_logic::vector::Vector;

/// The address and data of a line's messages, for the registers of a device.
///
/// Any other message could be a write to memory, an NMI, an INIT, an exception, or the interrupt of
/// another driver or of the kernel. So only the kernel creates messages, for the vectors of a line,
/// and drivers get them by reference. A device that still sends the message after its line is
/// dropped, against the contract of [`Messages`](crate::line::Messages), can only raise a vector
/// that the line once had.
#[derive(Debug)]
pub struct MessageTarget {
    first: Message,
    count: u8,
}

impl MessageTarget {
    /// Creates the messages for `count` vectors from `first` on, which must belong to the device's
    /// driver: edge-triggered, with fixed delivery to one CPU in physical destination mode.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Destination`], if the message cannot address the CPU.
    pub(crate) fn new(first: Vector, count: u8, cpu: ApicId) -> Result<Self, EncodingError> {
        let first = Msi::fixed(first.get(), cpu, false)?.encode()?;
        Ok(Self { first, count })
    }

    /// The first message. Message n has the data `data + n`.
    ///
    /// Context: any.
    #[must_use]
    pub fn first(&self) -> Message {
        self.first
    }

    /// The number of messages, a power of two.
    ///
    /// Context: any.
    #[must_use]
    pub fn count(&self) -> u8 {
        self.count
    }
}
