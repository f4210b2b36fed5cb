//! Sending interrupts where [`LocalApic::send`] may itself have been interrupted: in an NMI.
//!
//! In xAPIC mode a command is two writes. An NMI between them that sends a command of its own
//! would leave its destination to the command it interrupts; so it puts the old one back. In x2APIC
//! mode a command is one write, and there is nothing to do.

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::{EncodingError, Icr, Register};

use super::LocalApic;
use super::send::{ICR_MSR, fence};

/// The one write that sends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LastWrite {
    /// In x2APIC mode: `value` to this model-specific register.
    Msr {
        /// Its number.
        register: u32,
        /// 64 bits.
        value: u64,
    },
    /// In xAPIC mode: `value` to this virtual address.
    Memory {
        /// A multiple of 16.
        address: u64,
        /// 32 bits.
        value: u32,
    },
}

impl LocalApic {
    /// Sends an NMI. The receiver must have been asked for something before: see `cpu::nmi`.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express the destination.
    pub(crate) fn send_nmi(&self, destination: Destination) -> Result<(), EncodingError> {
        // SAFETY: every CPU that is online has a handler for NMIs, which may interrupt anything.
        unsafe { self.send(Icr::nmi(destination)) }
    }

    /// As [`send_nmi`](Self::send_nmi), in an NMI: what it interrupts may be sending, too.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express it.
    pub(crate) fn send_nmi_in_any_context(
        &self,
        destination: Destination,
    ) -> Result<(), EncodingError> {
        let interrupted = self.read(Register::IcrHigh);
        self.send_nmi(destination)?;
        if !self.is_x2apic() {
            self.wait_until_sent();
            self.write(Register::IcrHigh, interrupted);
        }
        Ok(())
    }

    /// Does all that sending `command` takes but the last write, for code that must have a known
    /// state when it makes that write. Nothing else may be sent from this CPU until then.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express it.
    pub(crate) fn prepare(&self, command: Icr) -> Result<LastWrite, EncodingError> {
        if self.is_x2apic() {
            let value = command.encode_x2apic()?;
            fence();
            return Ok(LastWrite::Msr {
                register: ICR_MSR,
                value,
            });
        }
        let [high, low] = command.encode_xapic()?;
        self.wait_until_sent();
        self.write(Register::IcrHigh, high);
        let offset = Register::Icr.xapic_offset().unwrap_or_default();
        Ok(LastWrite::Memory {
            address: self.page + u64::from(offset),
            value: low,
        })
    }
}
