//! Sending interrupts where [`LocalApic::send`] may itself have been interrupted: in an NMI.
//!
//! In xAPIC mode a command is two writes. An NMI between them that sends a command of its own
//! would leave its destination to the command it interrupts; so it puts the old one back. In x2APIC
//! mode a command is one write, and there is nothing to do.

use tocsin_logic::apic::{EncodingError, Icr, Register};

use super::LocalApic;
use super::send::{ICR_MSR, fence};

/// The one write that sends a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWrite {
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
    /// As [`LocalApic::send`], in an NMI: what it interrupts may be sending, too.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express it.
    pub fn send_in_nmi(&self, command: Icr) -> Result<(), EncodingError> {
        let interrupted = self.read(Register::IcrHigh);
        self.send(command)?;
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
    pub fn prepare(&self, command: Icr) -> Result<LastWrite, EncodingError> {
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
