//! Access to the registers of the local APIC, in both modes.

use tocsin_logic::apic::register::Part;
use tocsin_logic::apic::status::Version;
use tocsin_logic::apic::{ApicId, Register};
use tocsin_logic::vector::Vector;
use x86_64::registers::model_specific::Msr;

use super::LocalApic;
use crate::hw::{control, mmio};

/// Offset of a register that is reserved in every local APIC (SDM vol. 3A, table 12-1).
#[cfg(feature = "bench")]
const RESERVED: u64 = 0x40;

impl LocalApic {
    /// Reads a register of this CPU's local APIC; returns 0 if the mode lacks it.
    ///
    /// Context: any.
    #[must_use]
    pub fn read(&self, register: Register) -> u32 {
        if self.is_x2apic() {
            // SAFETY: In x2APIC mode the register exists.
            return register
                .x2apic_msr()
                .map_or(0, |msr| unsafe { control::read_msr(msr) as u32 });
        }
        self.read_memory(register)
    }

    /// As [`read`](Self::read), in xAPIC mode.
    #[inline]
    pub(super) fn read_memory(&self, register: Register) -> u32 {
        register.xapic_offset().map_or(0, |offset| {
            // SAFETY: The offset is within the mapped page and a multiple of 16.
            unsafe { mmio::read(self.page + u64::from(offset)) }
        })
    }

    /// Writes a register of this CPU's local APIC; does nothing if the mode lacks it.
    pub(super) fn write(&self, register: Register, value: u32) {
        if self.is_x2apic() {
            if let Some(msr) = register.x2apic_msr() {
                // SAFETY: In x2APIC mode the register exists. The values come from `logic`, which
                // sets no reserved bit.
                unsafe { Msr::new(msr).write(u64::from(value)) };
            }
        } else {
            self.write_memory(register, value);
        }
    }

    /// As [`write`](Self::write), in xAPIC mode.
    #[inline]
    pub(super) fn write_memory(&self, register: Register, value: u32) {
        if let Some(offset) = register.xapic_offset() {
            // SAFETY: The offset is within the mapped page and a multiple of 16.
            unsafe { mmio::write(self.page + u64::from(offset), value) };
        }
    }

    /// This CPU's APIC ID.
    ///
    /// Context: any.
    #[must_use]
    pub fn id(&self) -> ApicId {
        let register = self.read(Register::Id);
        ApicId(if self.is_x2apic() {
            register
        } else {
            register >> 24
        })
    }

    /// The version register.
    ///
    /// Context: any.
    #[must_use]
    pub fn version(&self) -> Version {
        Version(self.read(Register::Version))
    }

    /// Whether `vector` is pending on this CPU (its bit in the IRR).
    ///
    /// Context: any.
    #[must_use]
    pub fn is_requested(&self, vector: Vector) -> bool {
        self.has_bit(Register::Irr, vector)
    }

    /// Whether `vector` is in service on this CPU (its bit in the ISR).
    ///
    /// Context: any.
    #[must_use]
    pub fn is_in_service(&self, vector: Vector) -> bool {
        self.has_bit(Register::Isr, vector)
    }

    fn has_bit(&self, register: fn(Part) -> Register, vector: Vector) -> bool {
        self.read(register(Part::of(vector.get()))) & 1 << (vector.get() % 32) != 0
    }

    /// Reads a reserved register in xAPIC mode, which the local APIC records as an error.
    ///
    /// Context: any.
    #[cfg(feature = "bench")]
    pub fn read_reserved(&self) {
        // SAFETY: The offset is within the mapped page and a multiple of 16.
        let _ = unsafe { mmio::read::<u32>(self.page + RESERVED) };
    }
}
