//! The high-precision event timer (IA-PC HPET specification 1.0a, 2.3).
//!
//! One counter counts up, and up to 32 comparators interrupt when it meets them. A comparator's
//! interrupt goes to a pin of an I/O APIC, one of those that the comparator itself lists, or
//! as a message ("FSB").

mod routes;

use crate::apic::msi::Message;

pub use routes::usable_routes;

/// Length of the register block, in bytes (IA-PC HPET specification, 2.3.1).
pub const LENGTH: u64 = 0x400;
/// General capabilities: read only.
pub const CAPABILITIES: u64 = 0x000;
/// General configuration.
pub const CONFIGURATION: u64 = 0x010;
/// General interrupt status: a bit for each comparator, cleared by writing it.
pub const STATUS: u64 = 0x020;
/// The main counter.
pub const COUNTER: u64 = 0x0f0;

/// Bit 0 of the configuration: the counter runs, and comparators interrupt.
pub const ENABLE: u64 = 1 << 0;
/// Bit 1 of the configuration: comparators 0 and 1 take the places of PIT and RTC.
pub const LEGACY_REPLACEMENT: u64 = 1 << 1;

/// The registers of an HPET, read and written whole.
pub trait Registers {
    /// Reads the 64 bits at `offset`, in bytes.
    fn read(&self, offset: u64) -> u64;

    /// Writes them.
    fn write(&self, offset: u64, value: u64);
}

/// Takes an HPET over from firmware and starts its counter.
///
/// Firmware may have left comparators that go on to interrupt, or to send messages to a vector of its
/// own, and legacy replacement, which makes the pins of PIT and RTC dead (2.3.5). Here all comparators
/// become silent, and nothing stays asserted.
pub fn take_over(registers: &impl Registers) {
    let halted = registers.read(CONFIGURATION) & !(ENABLE | LEGACY_REPLACEMENT);
    // While the counter stands still, no comparator interrupts: what follows is final.
    registers.write(CONFIGURATION, halted);
    // While they still are levels: of an edge the bit is not to be written as 1 (2.3.6).
    registers.write(STATUS, registers.read(STATUS));
    let capabilities = Capabilities(registers.read(CAPABILITIES));
    for number in 0..capabilities.comparators() {
        let timer = Timer(registers.read(timer_configuration(number)));
        registers.write(timer_configuration(number), timer.disarmed());
    }
    registers.write(CONFIGURATION, halted | ENABLE);
}

/// Configuration and capabilities of comparator `n`.
#[must_use]
pub const fn timer_configuration(n: u8) -> u64 {
    0x100 + 0x20 * n as u64
}

/// The comparator itself.
#[must_use]
pub const fn timer_comparator(n: u8) -> u64 {
    0x108 + 0x20 * n as u64
}

/// Where its messages go.
#[must_use]
pub const fn timer_route(n: u8) -> u64 {
    0x110 + 0x20 * n as u64
}

/// The value of the route register for a message: the address above the data.
#[must_use]
pub const fn route(message: Message) -> u64 {
    (message.address as u64) << 32 | message.data as u64
}

/// The general capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities(pub u64);

impl Capabilities {
    /// The number of comparators, 1 to 32.
    #[must_use]
    pub const fn comparators(self) -> u8 {
        (self.0 >> 8 & 0x1f) as u8 + 1
    }

    /// Whether the counter has 64 bits; otherwise 32.
    #[must_use]
    pub const fn is_wide(self) -> bool {
        self.0 & 1 << 13 != 0
    }

    /// Femtoseconds for each count.
    #[must_use]
    pub const fn period(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// What a comparator's configuration register says that it can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer(pub u64);

impl Timer {
    /// Whether it can interrupt periodically by itself.
    #[must_use]
    pub const fn can_repeat(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// Whether it has 64 bits; otherwise 32.
    #[must_use]
    pub const fn is_wide(self) -> bool {
        self.0 & 1 << 5 != 0
    }

    /// Whether it can send messages.
    #[must_use]
    pub const fn can_send_messages(self) -> bool {
        self.0 & 1 << 15 != 0
    }

    /// The GSIs in the comparator's route capability, one bit for each of GSI 0 to 31.
    #[must_use]
    pub const fn routes(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The register's value that sets the comparator to work. What cannot be written stays.
    #[must_use]
    pub const fn armed(self, arm: Arm) -> u64 {
        let delivery = match arm.delivery {
            Delivery::Pin { gsi, level } => (gsi as u64 & 0x1f) << 9 | (level as u64) << 1,
            Delivery::Message => 1 << 14,
        };
        let repeat = if arm.repeat { PERIODIC | SET_VALUE } else { 0 };
        self.0 & !WRITABLE | delivery | repeat | INTERRUPT
    }

    /// The register's value that silences the comparator.
    #[must_use]
    pub const fn disarmed(self) -> u64 {
        self.0 & !WRITABLE
    }

    /// This value with the interrupt disabled.
    #[must_use]
    pub const fn muted(self) -> u64 {
        self.0 & !INTERRUPT
    }

    /// This value without the permission to set a periodic comparator's next moment, which holds for
    /// one write.
    #[must_use]
    pub const fn with_values_set(self) -> u64 {
        self.0 & !SET_VALUE
    }

    /// Whether the register, read again, shows that the comparator took this. Where it cannot
    /// have a route, the route reads as another one.
    #[must_use]
    pub const fn took(self, written: u64) -> bool {
        let shown = WRITABLE & !SET_VALUE;
        self.0 & shown == written & shown
    }
}

/// How a comparator shall work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arm {
    /// Again and again, or once for each value written.
    pub repeat: bool,
    /// Where the interrupt goes.
    pub delivery: Delivery,
}

/// Where a comparator's interrupt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// To an input of an I/O APIC.
    Pin {
        /// Its GSI, one of [`Timer::routes`].
        gsi: u8,
        /// Whether it stays asserted until its status bit is cleared.
        level: bool,
    },
    /// As the message that the route register holds.
    Message,
}

const INTERRUPT: u64 = 1 << 2;
const PERIODIC: u64 = 1 << 3;
const SET_VALUE: u64 = 1 << 6;
/// Type, enable, periodic, set-value, 32-bit mode, route, messages.
const WRITABLE: u64 = 1 << 1 | INTERRUPT | PERIODIC | SET_VALUE | 1 << 8 | 0x1f << 9 | 1 << 14;

#[cfg(test)]
mod tests;
