//! Sending of IPIs through the ICR, including self-IPIs.

use core::arch::asm;

use tocsin_logic::apic::icr::Destination;
use tocsin_logic::apic::{EncodingError, Icr, Register};
use tocsin_logic::vector::Vector;
use x86_64::registers::model_specific::Msr;

use super::LocalApic;
use crate::cpu::handlers::{self, INTERRUPTS};
use crate::cpu::{self, context};
use crate::sync::without_interrupts;

/// Polls of the ICR after which the wait for a pending command is abandoned: more than any message
/// takes.
const SEND_TRIES: u32 = 1 << 20;

/// The x2APIC's ICR.
pub(super) const ICR_MSR: u32 = 0x830;

/// The x2APIC's SELF IPI register.
const SELF_IPI_MSR: u32 = 0x83f;

/// Makes earlier stores visible before a write to an x2APIC register, which does not wait for them
/// (SDM vol. 3A, 12.12.3).
#[inline]
pub(super) fn fence() {
    // SAFETY: Only orders memory accesses.
    unsafe { asm!("mfence", "lfence", options(nostack, preserves_flags)) };
}

impl LocalApic {
    /// Sends an interprocessor interrupt of any kind. The receiver sees earlier stores of this CPU.
    /// [`ipi::send`](crate::ipi::send) is the safe way to interrupt CPUs.
    ///
    /// Context: any.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express the command.
    ///
    /// # Safety
    ///
    /// The receivers must be able to take it: a fixed vector must be above 31 and have a handler
    /// that expects it, and must not be one of a level-triggered line; INIT and start-up IPIs end
    /// the code that runs on a CPU, with its stack, locks and borrowed data, and may be sent only
    /// to CPUs that the kernel does not use; an SMI runs firmware's handler.
    #[expect(
        clippy::inline_always,
        reason = "most commands are constants but for the destination"
    )]
    #[inline(always)]
    pub unsafe fn send(&self, command: Icr) -> Result<(), EncodingError> {
        if self.is_x2apic() {
            let value = command.encode_x2apic()?;
            fence();
            // SAFETY: The register exists in this mode. `logic` sets no reserved bit.
            unsafe { Msr::new(ICR_MSR).write(value) };
            return Ok(());
        }
        self.send_by_registers(command.encode_xapic()?);
        Ok(())
    }

    /// Sends one of the kernel's own vectors, or one that a line or a caller has reserved.
    ///
    /// # Errors
    ///
    /// [`EncodingError`], if this mode cannot express the destination.
    ///
    /// # Panics
    ///
    /// If the vector is that of an exception.
    #[expect(clippy::inline_always, reason = "as `send`")]
    #[inline(always)]
    pub(crate) fn send_fixed(
        &self,
        vector: Vector,
        destination: Destination,
    ) -> Result<(), EncodingError> {
        assert!(
            vector.get() >= handlers::FIRST,
            "apic: an IPI with the vector of an exception"
        );
        // SAFETY: the vector is not that of an exception, so its stub expects no error code, and it
        // is handled: by the handler in the table, or as an unhandled interrupt.
        unsafe { self.send(Icr::fixed(vector.get(), destination)) }
    }

    /// Writes the two halves of the ICR in xAPIC mode.
    #[cold]
    #[inline(never)]
    fn send_by_registers(&self, command: [u32; 2]) {
        let own = cpu::current();
        if context::in_nmi(own) {
            return self.send_by_registers_in_nmi(command);
        }
        // The high half must not change while the last command is pending, and no other write may
        // come between the two writes.
        without_interrupts(|| self.write_command(command));
        if INTERRUPTS.of(own).is_in_handler() {
            // The interrupted code may have waited until the ICR was idle, and be about to write to
            // it.
            self.wait_until_sent();
        }
    }

    /// As [`send_by_registers`](Self::send_by_registers), in an NMI handler. The NMI may have
    /// interrupted a command between its two writes. So this restores the high half, without which
    /// that command would go to another destination, and leaves the ICR idle. In x2APIC mode a
    /// command is one write.
    #[cold]
    #[inline(never)]
    fn send_by_registers_in_nmi(&self, command: [u32; 2]) {
        let interrupted = self.read_memory(Register::IcrHigh);
        self.write_command(command);
        self.wait_until_sent();
        self.write_memory(Register::IcrHigh, interrupted);
    }

    /// Waits until the ICR is idle and writes it.
    #[inline]
    fn write_command(&self, [high, low]: [u32; 2]) {
        self.wait_until_sent();
        self.write_memory(Register::IcrHigh, high);
        self.write_memory(Register::Icr, low);
    }

    /// Waits in a handler until the ICR is idle: the interrupted code may have waited for that, and
    /// be about to write its own command.
    #[inline]
    fn leave_idle(&self) {
        let own = cpu::current();
        if INTERRUPTS.of(own).is_in_handler() || context::in_nmi(own) {
            self.wait_until_sent();
        }
    }

    /// Sends this CPU an interrupt. It is delivered soon, but not immediately. May be called in any
    /// context, including NMI handlers, because it does not disturb a command that the interrupted
    /// code is sending.
    ///
    /// # Panics
    ///
    /// If `vector` is that of an exception.
    #[inline]
    pub(crate) fn send_to_self(&self, vector: Vector) {
        assert!(
            vector.get() >= handlers::FIRST,
            "apic: an IPI with the vector of an exception"
        );
        if self.is_x2apic() {
            // No fence: a CPU sees its own stores in order.
            // SAFETY: The register exists in this mode, and takes a vector (SDM vol. 3A, 12.12.11).
            unsafe { Msr::new(SELF_IPI_MSR).write(u64::from(vector.get())) };
            return;
        }
        self.send_to_self_by_register(vector);
    }

    /// Writes the low half of the ICR in xAPIC mode. The shorthand needs no high half, which may
    /// belong to a command of the interrupted code.
    #[cold]
    fn send_to_self_by_register(&self, vector: Vector) {
        let [_, low] = Icr::fixed(vector.get(), Destination::Myself)
            .encode_xapic()
            .expect("a vector above 31 can be sent to oneself");
        self.wait_until_sent();
        self.write_memory(Register::Icr, low);
        self.leave_idle();
    }

    /// Waits until the last command has been sent, up to a limit. In xAPIC mode.
    pub(super) fn wait_until_sent(&self) {
        for _ in 0..SEND_TRIES {
            if self.read_memory(Register::Icr) & Icr::DELIVERY_PENDING == 0 {
                return;
            }
            core::hint::spin_loop();
        }
    }
}
