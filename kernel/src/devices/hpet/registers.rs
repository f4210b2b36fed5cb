//! The registers of one comparator.

use alloc::sync::Arc;

use tocsin_logic::devices::hpet::{STATUS, Timer, timer_configuration};

use super::Hpet;
use crate::sync::IrqMutex;

/// The registers of one comparator, shared by the driver, the handler and the line.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) hpet: Arc<Hpet>,
    pub(super) number: u8,
    /// The value of the configuration register while the comparator is not masked.
    configuration: IrqMutex<Setting>,
}

#[derive(Debug)]
struct Setting {
    value: u64,
    is_masked: bool,
}

impl Core {
    pub(super) fn new(hpet: Arc<Hpet>, number: u8) -> Self {
        let setting = Setting {
            value: 0,
            is_masked: false,
        };
        Self {
            hpet,
            number,
            configuration: IrqMutex::new(setting),
        }
    }

    /// Whether the line has masked the comparator.
    pub(super) fn is_masked(&self) -> bool {
        self.configuration.lock().is_masked
    }

    pub(super) fn number(&self) -> u8 {
        self.number
    }

    pub(super) fn read(&self, register: fn(u8) -> u64) -> u64 {
        self.hpet.registers.read(register(self.number))
    }

    pub(super) fn write(&self, register: fn(u8) -> u64, value: u64) {
        self.hpet.registers.write(register(self.number), value);
    }

    pub(super) fn timer(&self) -> Timer {
        Timer(self.read(timer_configuration))
    }

    pub(super) fn status_bit(&self) -> u32 {
        1 << self.number
    }

    /// Sets the configuration; while the comparator is masked, it takes effect at the unmask.
    pub(super) fn configure(&self, value: u64) {
        let mut setting = self.configuration.lock();
        setting.value = value;
        if !setting.is_masked {
            self.write(timer_configuration, value);
        }
    }

    pub(super) fn disable_interrupts(&self) {
        self.configure(self.timer().disarmed());
        // Status bits are cleared by writing 1.
        self.hpet.registers.write(STATUS, self.status_bit());
    }

    pub(super) fn set_masked(&self, masked: bool) {
        let mut setting = self.configuration.lock();
        setting.is_masked = masked;
        let value = Timer(setting.value);
        let value = if masked {
            value.with_interrupt_disabled()
        } else {
            value.0
        };
        self.write(timer_configuration, value);
    }
}
