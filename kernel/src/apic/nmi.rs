//! Sending of NMIs, and commands with a separate last write.

#[cfg(feature = "bench")]
use tocsin_logic::apic::Register;
use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::{EncodingError, Icr};

use super::LocalApic;
#[cfg(feature = "bench")]
use super::send::{ICR_MSR, fence};

/// The one write that sends a command.
#[cfg(feature = "bench")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWrite {
    /// In x2APIC mode: a write of `value` to this model-specific register.
    Msr {
        /// The number of the register.
        register: u32,
        /// The 64-bit value.
        value: u64,
    },
    /// In xAPIC mode: a write of `value` to this virtual address.
    Memory {
        /// The address, a multiple of 16.
        address: u64,
        /// The 32-bit value.
        value: u32,
    },
}

impl LocalApic {
    /// Sends an NMI. A request must have been posted to the receiver first: see `trap::nmi`.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express the destination.
    pub(crate) fn send_nmi(&self, destination: Destination) -> Result<(), EncodingError> {
        // SAFETY: every online CPU has a handler for NMIs, which may interrupt any code.
        unsafe { self.send(Icr::nmi(destination)) }
    }

    /// Performs all steps of sending `command` except the last write, for code that must have a
    /// known state when it executes that write. No other command may be sent from this CPU before
    /// the write.
    ///
    /// Context: any.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express the command.
    #[cfg(feature = "bench")]
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
