//! The flag fields of MADT entries.

use crate::apic::{Polarity, Trigger};
use core::fmt;

/// The local APIC flags (ACPI, table 5.22).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuFlags(pub u32);

impl CpuFlags {
    /// Bit 0: the CPU is present and may be started.
    #[must_use]
    pub const fn enabled(self) -> bool {
        self.0 & 1 != 0
    }

    /// Bit 1: a CPU that is not enabled may be enabled while the system runs. Valid only if
    /// [`Madt::has_online_capable`](super::Madt::has_online_capable).
    #[must_use]
    pub const fn online_capable(self) -> bool {
        self.0 & 2 != 0
    }
}

/// The value of one of the two fields of [`InterruptFlags`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting<T> {
    /// Conforms to the specification of the bus.
    Conforming,
    /// Explicitly this value.
    Explicit(T),
    /// The reserved value, 2. It is treated as [`Setting::Conforming`].
    Reserved,
}

impl<T> Setting<T> {
    /// Returns the explicit setting, otherwise `bus`, the default of the bus.
    pub fn or(self, bus: T) -> T {
        match self {
            Self::Explicit(setting) => setting,
            Self::Conforming | Self::Reserved => bus,
        }
    }
}

/// The MPS INTI flags (ACPI, table 5.26): **polarity in bits 1:0, trigger mode in
/// bits 3:2**.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterruptFlags(pub u16);

impl InterruptFlags {
    /// Bits 1:0: 1 is active high, 3 is active low.
    #[must_use]
    pub const fn polarity(self) -> Setting<Polarity> {
        match self.0 & 3 {
            0 => Setting::Conforming,
            1 => Setting::Explicit(Polarity::High),
            3 => Setting::Explicit(Polarity::Low),
            _ => Setting::Reserved,
        }
    }

    /// Bits 3:2: 1 is edge, 3 is level.
    #[must_use]
    pub const fn trigger(self) -> Setting<Trigger> {
        match self.0 >> 2 & 3 {
            0 => Setting::Conforming,
            1 => Setting::Explicit(Trigger::Edge),
            3 => Setting::Explicit(Trigger::Level),
            _ => Setting::Reserved,
        }
    }

    /// Bits 15:4, which are reserved, at their positions.
    #[must_use]
    pub const fn reserved_bits(self) -> u16 {
        self.0 & !0xf
    }

    /// Whether one of the fields has the reserved value 2, or a reserved bit is set.
    #[must_use]
    pub const fn has_reserved(self) -> bool {
        matches!(self.polarity(), Setting::Reserved)
            || matches!(self.trigger(), Setting::Reserved)
            || self.reserved_bits() != 0
    }

    /// The polarity and trigger mode of an ISA interrupt: active high and edge-triggered unless the
    /// flags specify otherwise. Also used for NMIs.
    #[must_use]
    pub fn on_isa(self) -> (Polarity, Trigger) {
        (
            self.polarity().or(Polarity::High),
            self.trigger().or(Trigger::Edge),
        )
    }
}

impl fmt::Display for InterruptFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.polarity() {
            Setting::Conforming => f.write_str("polarity of the bus")?,
            Setting::Explicit(polarity) => write!(f, "active {polarity}")?,
            Setting::Reserved => f.write_str("reserved polarity 2")?,
        }
        match self.trigger() {
            Setting::Conforming => f.write_str(", trigger of the bus")?,
            Setting::Explicit(trigger) => write!(f, ", {trigger}")?,
            Setting::Reserved => f.write_str(", reserved trigger 2")?,
        }
        match self.reserved_bits() {
            0 => Ok(()),
            bits => write!(f, ", reserved bits {bits:#06x}"),
        }
    }
}
