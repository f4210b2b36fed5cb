//! An `edu` device whose interrupts are handled, and counted on both ends.

use alloc::sync::Arc;
use core::ops::AddAssign;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{COMPUTED, Edu, INTERRUPT_WHEN_COMPUTED, register};
use crate::drivers::TIMEOUT;
use tocsin::line::Line;
use tocsin::pci::Function;
use tocsin::{cancel, time};

/// The counters of the handler.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Interrupts with a value.
    pub(super) count: AtomicU64,
    /// The sum of the values.
    pub(super) values: AtomicU64,
    /// Interrupts without a value: those of another device on the line, or duplicates.
    pub(super) empty: AtomicU64,
    /// Whether the handler ignores interrupts.
    pub(super) ignores: AtomicBool,
}

/// A device whose interrupts are handled, on a line of its own or by a shared handler.
#[derive(Debug)]
pub struct HandledEdu<L = Line> {
    pub(super) edu: Arc<Edu>,
    pub(super) line: L,
    pub(super) seen: Arc<Seen>,
}

/// The counts of both ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Interrupts raised.
    pub sent: u64,
    /// Interrupts handled.
    pub received: u64,
    /// The sum of the values that were raised.
    pub values_sent: u64,
    /// The sum of the values that the handler read.
    pub values_received: u64,
    /// Interrupts for which the device had no value.
    pub empty: u64,
}

impl HandledEdu {
    /// The line that handles the interrupts.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }
}

impl<L> HandledEdu<L> {
    /// The PCI function of the device. It is not returned as a [`Device`](tocsin::pci::Device),
    /// which would give access to its registers, and through them, as it is a bus master, to
    /// memory.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn function(&self) -> &Function {
        &self.edu.device
    }

    /// Raises `count` interrupts one after the other, each with a different value. Each is raised
    /// when the previous one has been handled or has timed out.
    ///
    /// Context: thread.
    #[must_use]
    pub fn raise(&self, count: u32) -> Tally {
        let registers = &self.edu.registers;
        self.tally(count.into(), |number| {
            // Bit 0 is that of the computation.
            let value = (number as u32 + 1) << 1;
            registers.write(register::RAISE, value);
            value.into()
        })
    }

    /// Makes the handler ignore the device's interrupts, as the handler of another device would, or
    /// handle them again.
    ///
    /// Context: thread.
    pub fn ignore(&self, ignore: bool) {
        self.seen.ignores.store(ignore, Ordering::Relaxed);
    }

    /// Returns the number of interrupts that were handled.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn handled(&self) -> u64 {
        self.seen.count.load(Ordering::Acquire)
    }

    /// Raises the interrupt with `value`, which has bit 0 clear and others set, and does not wait.
    ///
    /// Context: thread.
    pub fn assert(&self, value: u32) {
        self.edu.registers.write(register::RAISE, value);
    }

    /// Raises one interrupt with `value`, which has bit 0 clear and others set, calls `act` while
    /// it is in transit, and waits until it has been handled or has timed out.
    ///
    /// Context: thread.
    #[must_use]
    pub fn raise_with(&self, value: u32, act: impl Fn()) -> Tally {
        let registers = &self.edu.registers;
        self.tally(1, |_| {
            registers.write(register::RAISE, value);
            act();
            value.into()
        })
    }

    /// Makes the device compute the factorial of `number` and interrupt when it is done. Returns
    /// it, modulo 2^32.
    ///
    /// Context: thread.
    #[must_use]
    pub fn factorial(&self, number: u32) -> (u32, Tally) {
        let registers = &self.edu.registers;
        registers.write(register::STATUS, INTERRUPT_WHEN_COMPUTED);
        let tally = self.tally(1, |_| {
            registers.write(register::FACTORIAL, number);
            COMPUTED.into()
        });
        registers.write(register::STATUS, 0_u32);
        (registers.read(register::FACTORIAL), tally)
    }

    /// Sends `count` interrupts through `send`, which returns the value of each, and counts the
    /// received ones. A sequence of several interrupts ends early if it is cancelled.
    fn tally(&self, count: u64, send: impl Fn(u64) -> u64) -> Tally {
        let received = || self.seen.count.load(Ordering::Acquire);
        let values = || self.seen.values.load(Ordering::Relaxed);
        let empty = || self.seen.empty.load(Ordering::Relaxed);
        let before = (received(), values(), empty());
        let (mut raised, mut values_sent) = (0, 0);
        // A single interrupt is not cancelled, because it is part of an operation such as a
        // computation.
        while raised < count && !(count > 1 && cancel::is_requested()) {
            values_sent += send(raised);
            time::wait_until(TIMEOUT, || received() > before.0 + raised);
            raised += 1;
        }
        Tally {
            sent: raised,
            received: received() - before.0,
            values_sent,
            values_received: values() - before.1,
            empty: empty() - before.2,
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
        self.values_sent += other.values_sent;
        self.values_received += other.values_received;
        self.empty += other.empty;
    }
}

impl<L> Drop for HandledEdu<L> {
    fn drop(&mut self) {
        self.edu.device.set_pin_enabled(false);
    }
}
