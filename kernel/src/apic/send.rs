//! Sending interrupts from one CPU to others and to itself, through the ICR.

use core::arch::asm;

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::{EncodingError, Icr, Register};
use tocsin_logic::vector::Vector;
use x86_64::registers::model_specific::Msr;

use super::LocalApic;
use crate::cpu;
use crate::sync::without_interrupts;

/// Polls of the ICR before a command that the bus does not take is given up: longer than any
/// message takes.
const SEND_TRIES: u32 = 1 << 20;

/// The x2APIC's ICR.
pub(super) const ICR_MSR: u32 = 0x830;

/// The x2APIC's register for interrupts to oneself.
const SELF_IPI_MSR: u32 = 0x83f;

/// Makes earlier stores visible before a write to an x2APIC register, which does not wait for them
/// (SDM vol. 3A, 12.12.3).
#[inline]
pub(super) fn fence() {
    // SAFETY: 1. Only orders memory accesses.
    unsafe { asm!("mfence", "lfence", options(nostack, preserves_flags)) };
}

impl LocalApic {
    /// Sends an interprocessor interrupt. What this CPU wrote before is visible to the receiver.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express it.
    #[expect(
        clippy::inline_always,
        reason = "most commands are constants but for the destination"
    )]
    #[inline(always)]
    pub fn send(&self, command: Icr) -> Result<(), EncodingError> {
        if self.is_x2apic() {
            let value = command.encode_x2apic()?;
            fence();
            // SAFETY: 1. The register exists in this mode. 2. `logic` sets no reserved bit.
            unsafe { Msr::new(ICR_MSR).write(value) };
            return Ok(());
        }
        self.send_by_registers(command.encode_xapic()?);
        Ok(())
    }

    /// Writes the two halves of the ICR in xAPIC mode.
    #[cold]
    fn send_by_registers(&self, [high, low]: [u32; 2]) {
        // The high half must not change while the last command is pending, and nothing may come
        // between the two writes.
        without_interrupts(|| {
            self.wait_until_sent();
            self.write(Register::IcrHigh, high);
            self.write(Register::Icr, low);
        });
        self.leave_idle();
    }

    /// What a handler interrupts may have waited until the last command was sent, and be about to write its
    /// own: so it must find the ICR idle again.
    #[inline]
    fn leave_idle(&self) {
        let own = cpu::current();
        if own.interrupts.are_answered() || own.nmi.is_handled() {
            self.wait_until_sent();
        }
    }

    /// Sends this CPU an interrupt. It arrives soon, not at once. Any context: an NMI too, for it disturbs
    /// no command that the interrupted code is sending.
    ///
    /// # Panics
    ///
    /// In xAPIC mode, if `vector` is below 16, which the local APIC refuses; in x2APIC mode such a
    /// vector is an error that the local APIC reports.
    #[inline]
    pub fn send_to_self(&self, vector: Vector) {
        if self.is_x2apic() {
            // No fence: a CPU sees its own stores in order.
            // SAFETY: 1. The register exists in this mode, and takes a vector (SDM vol. 3A, 12.12.11).
            unsafe { Msr::new(SELF_IPI_MSR).write(u64::from(vector.get())) };
            return;
        }
        self.send_to_self_by_register(vector);
    }

    /// Writes the low half of the ICR in xAPIC mode. The shorthand does without the high half, which may be
    /// somebody's whom this interrupts.
    #[cold]
    fn send_to_self_by_register(&self, vector: Vector) {
        let [_, low] = Icr::fixed(vector.get(), Destination::Myself)
            .encode_xapic()
            .expect("a vector from 16 up can be sent to oneself");
        self.wait_until_sent();
        self.write(Register::Icr, low);
        self.leave_idle();
    }

    /// Waits until the last command is on its way, but not for ever. In xAPIC mode.
    pub(super) fn wait_until_sent(&self) {
        for _ in 0..SEND_TRIES {
            if self.read(Register::Icr) & Icr::DELIVERY_PENDING == 0 {
                return;
            }
            core::hint::spin_loop();
        }
    }
}
