//! Sending NMIs, and the last write of a command on its own.

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
    /// Sends an NMI. A request must have been posted to the receiver before: see `cpu::nmi`.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express the destination.
    pub(crate) fn send_nmi(&self, destination: Destination) -> Result<(), EncodingError> {
        // SAFETY: every CPU that is online has a handler for NMIs, which may interrupt anything.
        unsafe { self.send(Icr::nmi(destination)) }
    }

    /// Does all that sending `command` takes but the last write, for code that must have a known
    /// state when it makes that write. Nothing else may be sent from this CPU until then.
    ///
    /// Context: any.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express it.
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
