//! Sending interrupts from one CPU to others and to itself, through the ICR.

use core::arch::asm;

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::{EncodingError, Icr, Register};
use tocsin_logic::vector::Vector;
use x86_64::registers::model_specific::Msr;

use super::LocalApic;
use crate::cpu::{self, interrupts};
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
    /// Sends an interprocessor interrupt of any kind. What this CPU wrote before is visible to the
    /// receiver. [`ipi::send`](crate::irq::ipi::send) is the safe way to interrupt CPUs.
    ///
    /// Context: any.
    ///
    /// Context: any.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express it.
    ///
    /// # Safety
    ///
    /// The receivers must be able to take it: a fixed vector must be above 31 and have a handler that
    /// expects it, and must not be one of a level-triggered line; INIT and start-up IPIs end what runs on
    /// a CPU, with its stack, locks and borrowed data, and may go only to CPUs that the kernel does not
    /// use; an SMI is firmware's.
    #[expect(
        clippy::inline_always,
        reason = "most commands are constants but for the destination"
    )]
    #[inline(always)]
    pub unsafe fn send(&self, command: Icr) -> Result<(), EncodingError> {
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

    /// Sends a vector of the kernel's own, or one that a line or a caller has reserved.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express the destination.
    ///
    /// # Panics
    ///
    /// If the vector is an exception's.
    #[expect(clippy::inline_always, reason = "as `send`")]
    #[inline(always)]
    pub(crate) fn send_fixed(
        &self,
        vector: Vector,
        destination: Destination,
    ) -> Result<(), EncodingError> {
        assert!(
            vector.get() >= interrupts::FIRST,
            "apic: an IPI with the vector of an exception"
        );
        // SAFETY: the vector is not an exception's, so its stub expects no error code, and it is answered:
        // by the handler in the table, or by the one for unhandled interrupts.
        unsafe { self.send(Icr::fixed(vector.get(), destination)) }
    }

    /// Writes the two halves of the ICR in xAPIC mode.
    ///
    /// An NMI can come between the two writes of the code that it interrupts, so in an NMI handler the high
    /// half is put back: that code would send its command to another destination otherwise. In x2APIC mode
    /// a command is one write.
    #[cold]
    fn send_by_registers(&self, [high, low]: [u32; 2]) {
        let in_nmi = cpu::current().in_nmi();
        let interrupted = in_nmi.then(|| self.read(Register::IcrHigh));
        // The high half must not change while the last command is pending, and nothing may come
        // between the two writes.
        without_interrupts(|| {
            self.wait_until_sent();
            self.write(Register::IcrHigh, high);
            self.write(Register::Icr, low);
        });
        self.leave_idle();
        if let Some(high) = interrupted {
            self.write(Register::IcrHigh, high);
        }
    }

    /// What a handler interrupts may have waited until the last command was sent, and be about to write its
    /// own: so it must find the ICR idle again.
    #[inline]
    fn leave_idle(&self) {
        let own = cpu::current();
        if own.interrupts.are_answered() || own.in_nmi() {
            self.wait_until_sent();
        }
    }

    /// Sends this CPU an interrupt. It arrives soon, not at once. Any context: an NMI too, for it disturbs
    /// no command that the interrupted code is sending.
    ///
    /// # Panics
    ///
    /// If `vector` is an exception's.
    #[inline]
    pub(crate) fn send_to_self(&self, vector: Vector) {
        assert!(
            vector.get() >= interrupts::FIRST,
            "apic: an IPI with the vector of an exception"
        );
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
            .expect("a vector above 31 can be sent to oneself");
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
