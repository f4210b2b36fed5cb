//! HPET comparators.

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::{Polarity, Trigger};
use tocsin_logic::devices::hpet::{Arm, Delivery, STATUS, Timer, timer_comparator, usable_routes};
use tocsin_logic::irq::route::Mode;
use tocsin_logic::topology::Topology;
use tocsin_logic::vector::PriorityClass;

use super::message::ComparatorMessage;
use super::registers::Core;
use super::{Hpet, NAME, Periods};
use crate::devices::DeviceError;
use crate::line::{Claim, Line, Request, Source};

/// Number of attempts to set up a period before giving up; an attempt fails if the first period
/// ends during the setup.
const ATTEMPTS: u32 = 10;

/// Delivery of a comparator's interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through this input of an I/O APIC.
    Pin {
        /// Its GSI, one of [`Comparator::routes`].
        gsi: Gsi,
        /// Edge, or level: asserted until the handler has cleared the status bit.
        trigger: Trigger,
    },
    /// As a message.
    Message,
}

/// A comparator that generates no interrupts.
#[derive(Debug)]
pub struct Comparator {
    core: Arc<Core>,
    is_wide: bool,
    /// The GSIs that a line may use, one bit each.
    routes: u32,
}

impl Comparator {
    pub(super) fn new(hpet: Arc<Hpet>, number: u8, topology: &Topology) -> Self {
        let core = Core::new(hpet, number);
        core.silence();
        let is_wide = core.hpet.capabilities.is_wide() && core.timer().is_wide();
        let routes = usable_routes(core.timer().routes(), topology);
        Self {
            core: Arc::new(core),
            is_wide,
            routes,
        }
    }

    /// The comparator's number, from 0.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn number(&self) -> u8 {
        self.core.number
    }

    /// The GSIs that the comparator may be routed to: those of its route capability that are not
    /// the input of an ISA interrupt or, if it has no others, those at which an ISA interrupt
    /// arrives.
    ///
    /// Context: any.
    pub fn routes(&self) -> impl Iterator<Item = Gsi> + use<> {
        let routes = self.routes;
        (0..32).filter(move |gsi| routes >> gsi & 1 != 0).map(Gsi)
    }

    /// Whether the comparator can send messages.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn can_send_messages(&self) -> bool {
        self.core.timer().can_send_messages()
    }

    /// Whether the comparator supports periodic interrupts.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn can_repeat(&self) -> bool {
        self.core.timer().can_repeat()
    }

    /// Handles the comparator's interrupts with `handler` on CPU number `cpu`; the status bit is
    /// cleared first.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Cannot`], if the comparator lacks this delivery; [`DeviceError::Line`].
    pub fn with_handler<F>(
        self,
        way: Way,
        class: PriorityClass,
        cpu: u32,
        handler: F,
    ) -> Result<Event, DeviceError>
    where
        F: Fn() + Send + Sync + 'static,
    {
        let (source, delivery) = self.find(way)?;
        let is_level = matches!(delivery, Delivery::Pin { level: true, .. });
        let acknowledged = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&acknowledged);
        let core = Arc::clone(&self.core);
        let line_handler = move || {
            if is_level {
                let registers = &core.hpet.registers;
                if registers.read::<u32>(STATUS) & core.status_bit() == 0 {
                    return Claim::NotMine;
                }
                registers.write(STATUS, core.status_bit());
                // An EOI by MSR may pass the write (SDM vol. 3A, 12.12.3), and the level-triggered
                // interrupt would be sent again. A read completes only after the write.
                let _: u32 = registers.read(STATUS);
                counter.fetch_add(1, Ordering::Release);
            }
            handler();
            Claim::Mine
        };
        let request = Request {
            name: "hpet",
            source,
            class,
            cpu,
        };
        let failed = |error| DeviceError::Line(NAME, error);
        let line = Line::new(request, line_handler).map_err(failed)?;
        if way == Way::Message {
            let message = ComparatorMessage(Arc::clone(&self.core));
            line.attach(message).map_err(failed)?;
        }
        Ok(Event {
            line,
            comparator: self,
            delivery,
            acknowledged,
        })
    }

    /// Converts a delivery to the source of the line and the configuration of the comparator.
    fn find(&self, way: Way) -> Result<(Source, Delivery), DeviceError> {
        let cannot = |what| {
            let what = format!("comparator {} cannot {what}", self.number());
            Err(DeviceError::Cannot(NAME, what))
        };
        let (gsi, trigger) = match way {
            Way::Message if self.can_send_messages() => {
                return Ok((Source::Message, Delivery::Message));
            }
            Way::Message => return cannot("send messages".into()),
            Way::Pin { gsi, trigger } => (gsi, trigger),
        };
        if !self.routes().any(|route| route == gsi) {
            let listed = self.core.timer().routes();
            let is_listed = listed.checked_shr(gsi.get()).unwrap_or(0) & 1 != 0;
            let why = if is_listed {
                ": ISA interrupts have this input"
            } else {
                ""
            };
            return cannot(format!(
                "interrupt at GSI {gsi}{why}; `routes` lists the others"
            ));
        }
        // Inputs above those of ISA belong to PCI and are active low; edge-triggered inputs are not
        // shared, so their polarity is free.
        let is_pci = gsi.get() >= 16 && trigger == Trigger::Level;
        let polarity = if is_pci {
            Polarity::Low
        } else {
            Polarity::High
        };
        let mode = Mode { polarity, trigger };
        let source = Source::Gsi {
            gsi,
            mode: Some(mode),
        };
        let delivery = Delivery::Pin {
            gsi: gsi.get() as u8,
            level: trigger == Trigger::Level,
        };
        Ok((source, delivery))
    }
}

/// A comparator whose interrupts have a handler.
#[derive(Debug)]
pub struct Event {
    line: Line,
    comparator: Comparator,
    delivery: Delivery,
    acknowledged: Arc<AtomicU64>,
}

impl Event {
    /// The line of the comparator.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Number of times that the handler has found the status bit set and cleared it; only for
    /// level-triggered interrupts.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Whether a level-triggered interrupt is asserted: the status bit is set.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn is_asserted(&self) -> bool {
        let core = &self.comparator.core;
        core.hpet.registers.read::<u32>(STATUS) & core.status_bit() != 0
    }

    /// The number of counts for a time in nanoseconds, rounded up.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn counts(&self, nanoseconds: u64) -> u64 {
        self.comparator.core.hpet.clock.counts(nanoseconds)
    }

    /// The value of the main counter.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn counter(&self) -> u64 {
        self.comparator.core.hpet.counter()
    }

    /// Interrupts once, after `counts` counts of the main counter. Returns whether that time was
    /// still in the future when the setup was complete; if not, the interrupt may have been missed.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Wrong`], if the comparator does not accept its configuration.
    pub fn once(&mut self, counts: u64) -> Result<bool, DeviceError> {
        let begin = self.counter();
        self.at(begin, begin.wrapping_add(counts))
    }

    /// Like [`once`](Self::once), but at the main counter value `value`; `begin` is the value just
    /// read.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// Those of `once`.
    pub fn at(&mut self, begin: u64, value: u64) -> Result<bool, DeviceError> {
        self.stop();
        // The counter would match an old value, and some implementations treat it as already
        // passed.
        self.write_comparator(value);
        self.arm(false)?;
        Ok(self.elapsed(begin, self.counter()) < self.elapsed(begin, value))
    }

    /// Interrupts every `counts` counts of the main counter. Returns the comparator's first value.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Cannot`], [`DeviceError::Wrong`].
    pub fn every(&mut self, counts: u64) -> Result<Periods, DeviceError> {
        let core = &self.comparator.core;
        if !self.comparator.can_repeat() {
            let what = format!("comparator {} cannot repeat", core.number);
            return Err(DeviceError::Cannot(NAME, what));
        }
        for _ in 0..ATTEMPTS {
            core.silence();
            // The order is: the mode, with the permission to set the accumulator; the accumulator;
            // the period (2.3.9.2.2); and the interrupt enable last.
            let timer = core.timer();
            core.configure(Timer(timer.armed(self.arm_as(true))).muted());
            let begin = core.hpet.counter();
            let first = begin.wrapping_add(counts);
            self.write_comparator(first);
            self.write_comparator(counts);
            // If the first value has already been matched, the accumulator may have advanced by the
            // wrong period, far ahead of the counter.
            if self.elapsed(begin, self.counter()) < self.elapsed(begin, first) {
                self.arm(true)?;
                return Ok(Periods { first, counts });
            }
        }
        let what = format!("{counts} counts pass before they are set as a period");
        Err(DeviceError::Cannot(NAME, what))
    }

    /// Number of periods that have ended: the expected number of interrupts.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn periods(&self, of: Periods) -> u64 {
        let next = self.comparator.core.read(timer_comparator);
        self.elapsed(of.first, next) / of.counts
    }

    /// Stops the interrupts.
    ///
    /// Context: any but NMI.
    pub fn stop(&mut self) {
        self.comparator.core.silence();
    }

    fn arm_as(&self, repeat: bool) -> Arm {
        Arm {
            repeat,
            delivery: self.delivery,
        }
    }

    /// Enables the comparator with its current values.
    fn arm(&self, repeat: bool) -> Result<(), DeviceError> {
        let core = &self.comparator.core;
        let value = Timer(core.timer().armed(self.arm_as(repeat))).with_values_set();
        core.configure(value);
        let shown = core.timer();
        if shown.took(value) || core.is_masked() {
            return Ok(());
        }
        let what = format!(
            "comparator {} shows the configuration {:#x} after {value:#x} was written",
            core.number, shown.0
        );
        Err(DeviceError::Wrong(NAME, what))
    }

    fn write_comparator(&self, value: u64) {
        let core = &self.comparator.core;
        if self.comparator.is_wide {
            core.write(timer_comparator, value);
        } else {
            let register = timer_comparator(core.number);
            core.hpet.registers.write(register, value as u32);
        }
    }

    /// The number of counts from one value of the main counter to a later one.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn elapsed(&self, start: u64, end: u64) -> u64 {
        let counts = end.wrapping_sub(start);
        if self.comparator.is_wide {
            counts
        } else {
            u64::from(counts as u32)
        }
    }
}

impl Drop for Comparator {
    fn drop(&mut self) {
        self.core.silence();
    }
}
