//! The High Precision Event Timer (IA-PC HPET specification 1.0a, 2.3).
//!
//! The main counter counts up, and up to 32 comparators interrupt when it reaches their values. The
//! interrupt of a comparator is delivered to an I/O APIC pin from a list that the comparator
//! reports, or as a message ("FSB").

mod routes;

use crate::apic::msi::Message;

pub use routes::usable_routes;

/// The size of the register block, in bytes (IA-PC HPET specification, 2.3.1).
pub const LENGTH: u64 = 0x400;
/// General capabilities register; read-only.
pub const CAPABILITIES: u64 = 0x000;
/// General configuration register.
pub const CONFIGURATION: u64 = 0x010;
/// General interrupt status register: one bit for each comparator; writing 1 clears it.
pub const STATUS: u64 = 0x020;
/// Main counter register.
pub const COUNTER: u64 = 0x0f0;

/// Bit 0 of the configuration: the main counter runs, and comparators can interrupt.
pub const ENABLE: u64 = 1 << 0;
/// Bit 1 of the configuration: comparators 0 and 1 replace the interrupts of the PIT and the RTC.
pub const LEGACY_REPLACEMENT: u64 = 1 << 1;

/// Access to the 64-bit registers of an HPET.
pub trait Registers {
    /// Reads the 64-bit register at `offset`, in bytes.
    fn read(&self, offset: u64) -> u64;

    /// Writes the 64-bit register at `offset`, in bytes.
    fn write(&self, offset: u64, value: u64);
}

/// Takes the HPET over from firmware and starts its main counter.
///
/// Firmware may have left comparators enabled that interrupt or send messages to a firmware vector,
/// and legacy replacement, which disables the pins of the PIT and the RTC (2.3.5). This function
/// disables all comparators and legacy replacement and clears all pending interrupts.
pub fn take_over(registers: &impl Registers) {
    let halted = registers.read(CONFIGURATION) & !(ENABLE | LEGACY_REPLACEMENT);
    // No comparator interrupts while the counter is halted, so the following writes are final.
    registers.write(CONFIGURATION, halted);
    // Clear the status while the comparators are still level-triggered: software must not write 1
    // to the bit of an edge-triggered one (2.3.6).
    registers.write(STATUS, registers.read(STATUS));
    let capabilities = Capabilities(registers.read(CAPABILITIES));
    for number in 0..capabilities.comparators() {
        let timer = Timer(registers.read(timer_configuration(number)));
        registers.write(timer_configuration(number), timer.disarmed());
    }
    registers.write(CONFIGURATION, halted | ENABLE);
}

/// Offset of the configuration and capabilities register of comparator `n`.
#[must_use]
pub const fn timer_configuration(n: u8) -> u64 {
    0x100 + 0x20 * n as u64
}

/// Offset of the value register of comparator `n`.
#[must_use]
pub const fn timer_comparator(n: u8) -> u64 {
    0x108 + 0x20 * n as u64
}

/// Offset of the message (FSB) route register of comparator `n`.
#[must_use]
pub const fn timer_route(n: u8) -> u64 {
    0x110 + 0x20 * n as u64
}

/// Encodes the route register for a message: the address in the upper half, the data in the lower
/// half.
#[must_use]
pub const fn route(message: Message) -> u64 {
    (message.address as u64) << 32 | message.data as u64
}

/// The general capabilities register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// The number of comparators, 1 to 32.
    #[must_use]
    pub const fn comparators(self) -> u8 {
        (self.0 >> 8 & 0x1f) as u8 + 1
    }

    /// Whether the counter is 64 bits wide; otherwise 32.
    #[must_use]
    pub const fn is_wide(self) -> bool {
        self.0 & 1 << 13 != 0
    }

    /// The period of the counter, in femtoseconds.
    #[must_use]
    pub const fn period(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The configuration and capabilities register of a comparator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer(pub u64);

impl Timer {
    /// Whether the comparator supports periodic mode.
    #[must_use]
    pub const fn can_repeat(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// Whether the comparator is 64 bits wide; otherwise 32.
    #[must_use]
    pub const fn is_wide(self) -> bool {
        self.0 & 1 << 5 != 0
    }

    /// Whether the comparator can send messages.
    #[must_use]
    pub const fn can_send_messages(self) -> bool {
        self.0 & 1 << 15 != 0
    }

    /// The GSIs in the route capability of the comparator, one bit for each of GSI 0 to 31.
    #[must_use]
    pub const fn routes(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Returns the register value that enables the comparator. Read-only bits are preserved.
    #[must_use]
    pub const fn armed(self, arm: Arm) -> u64 {
        let delivery = match arm.delivery {
            Delivery::Pin { gsi, level } => (gsi as u64 & 0x1f) << 9 | (level as u64) << 1,
            Delivery::Message => 1 << 14,
        };
        let repeat = if arm.repeat { PERIODIC | SET_VALUE } else { 0 };
        self.0 & !WRITABLE | delivery | repeat | INTERRUPT
    }

    /// Returns the register value that disables the comparator.
    #[must_use]
    pub const fn disarmed(self) -> u64 {
        self.0 & !WRITABLE
    }

    /// Returns this value with the interrupt disabled.
    #[must_use]
    pub const fn with_interrupt_disabled(self) -> u64 {
        self.0 & !INTERRUPT
    }

    /// Returns this value without the value-set bit, which permits a single write to the value of a
    /// periodic comparator.
    #[must_use]
    pub const fn with_values_set(self) -> u64 {
        self.0 & !SET_VALUE
    }

    /// Whether the register, read again, shows that the comparator accepted the value `written`. An
    /// unsupported route reads back as another one.
    #[must_use]
    pub const fn accepted(self, written: u64) -> bool {
        let shown = WRITABLE & !SET_VALUE;
        self.0 & shown == written & shown
    }
}

/// The configuration of a comparator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Periodic mode; otherwise one interrupt for each value written.
    pub repeat: bool,
    /// The delivery of the interrupt.
    pub delivery: Delivery,
}

/// The delivery of a comparator's interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// To an I/O APIC input.
    Pin {
        /// The GSI, one of [`Timer::routes`].
        gsi: u8,
        /// Level-triggered: asserted until its status bit is cleared.
        level: bool,
    },
    /// As the message in the route register.
    Message,
}

const INTERRUPT: u64 = 1 << 2;
const PERIODIC: u64 = 1 << 3;
const SET_VALUE: u64 = 1 << 6;
/// Interrupt type, interrupt enable, periodic type, value set, 32-bit mode, route, FSB enable.
const WRITABLE: u64 = 1 << 1 | INTERRUPT | PERIODIC | SET_VALUE | 1 << 8 | 0x1f << 9 | 1 << 14;

#[cfg(test)]
mod tests;
