//! Channel 0 of the 8254 PIT, which interrupts on the rising edge of its output (ISA interrupt 0).

use core::sync::atomic::AtomicBool;

use tocsin_logic::acpi::Gsi;
use tocsin_logic::devices::pit::{Mode, control};
use tocsin_logic::irq::route;
use tocsin_logic::vector::PriorityClass;

use super::{DeviceError, Ownership};
use crate::discover::machine;
use crate::hw::pit;
use crate::line::{Line, Request, Source};
use crate::time;

pub use tocsin_logic::devices::pit::{FREQUENCY, divisor, nanoseconds, ticks};

const NAME: &str = "PIT";
const CHANNEL: u8 = 0;

/// The mode in which the output is high and the counter is stopped; see [`rest`].
const RESTING: Mode = Mode::Triggered;

/// Timeout for the interrupt when probing its GSI, in nanoseconds.
const TRIAL: u64 = 100_000_000;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The channel, with its interrupt disabled.
#[derive(Debug)]
pub struct Pit {
    _ownership: Ownership,
}

impl Pit {
    /// Claims the channel and stops it.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Taken`]; [`DeviceError::Absent`], if the channel does not accept a mode.
    pub fn claim() -> Result<Self, DeviceError> {
        let ownership = Ownership::take(&TAKEN, NAME)?;
        rest();
        if !pit::status(CHANNEL).is_set_as(control(CHANNEL, RESTING)) {
            let why = "channel 0 of an 8254 does not take the mode that it is given";
            return Err(DeviceError::Absent(NAME, why));
        }
        Ok(Self {
            _ownership: ownership,
        })
    }

    /// Sets `handler` for the channel's interrupt, on CPU number `cpu`.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// Those of [`source`](Self::source).
    pub fn with_handler<F>(
        mut self,
        class: PriorityClass,
        cpu: u32,
        handler: F,
    ) -> Result<Timer, DeviceError>
    where
        F: Fn() + Send + Sync + 'static,
    {
        let source = self.source(class, cpu)?;
        let request = Request {
            name: "pit",
            source,
            class,
            cpu,
        };
        let line = Line::new(request, handler).map_err(|error| DeviceError::Line(NAME, error))?;
        line.set_masked(true);
        Ok(Timer {
            line,
            _pit: self,
            at_rest: true,
        })
    }

    /// The source of the interrupt. Without an interrupt source override in the MADT, it is GSI 0;
    /// but some boards, such as QEMU's microvm, use GSI 2 without an override. The driver therefore
    /// probes it.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Line`]; [`DeviceError::Wrong`], if the interrupt arrives at neither.
    pub fn source(&mut self, class: PriorityClass, cpu: u32) -> Result<Source, DeviceError> {
        let topology = machine().map(|machine| &machine.topology);
        let route = topology.and_then(|topology| topology.isa_irq(0));
        let reported = Source::Isa(0);
        if route.is_some_and(|route| route.overridden) {
            return Ok(reported);
        }
        let other = Source::Gsi {
            gsi: Gsi(2),
            mode: Some(route::Mode::ISA),
        };
        for source in [reported, other] {
            let request = Request {
                name: "pit",
                source,
                class,
                cpu,
            };
            let line = Line::new(request, || {}).map_err(|error| DeviceError::Line(NAME, error))?;
            start(Mode::OneShot, 1);
            if time::wait_until(TRIAL, || line.counts().claimed > 0) {
                return Ok(source);
            }
        }
        let what = "its interrupt arrives neither at GSI 0, where the MADT has it, nor at GSI 2";
        Err(DeviceError::Wrong(NAME, what.into()))
    }
}

/// Stops the channel with the output high, so that setting the next mode causes no rising edge. In
/// mode 1 the output is high until the rising edge of the gate, and the gate of this channel is
/// always high. The count is written because some emulated counters continue with the old one until
/// then: a pending edge of such a counter occurs now or never.
fn rest() {
    start(RESTING, 1);
}

fn start(mode: Mode, count: u16) {
    pit::set_mode(CHANNEL, mode);
    pit::set_count(CHANNEL, count);
}

/// Whether the count of mode 0 has ended.
fn is_done() -> bool {
    let status = pit::status(CHANNEL);
    status.output() && !status.is_count_pending()
}

/// The channel, with a handler for its interrupt.
#[derive(Debug)]
pub struct Timer {
    // Dropped first, so that stopping the channel causes no interrupt.
    line: Line,
    _pit: Pit,
    /// Whether no count is set and the line is masked.
    at_rest: bool,
}

impl Timer {
    /// The line of the channel.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Interrupts once, after `count` + 1 ticks of 1 / [`FREQUENCY`] s; a count of 0 is 65536.
    /// Replaces the previous setting.
    ///
    /// Context: any but NMI.
    pub fn once(&mut self, count: u16) {
        self.start(Mode::OneShot, count);
    }

    /// Interrupts every `count` ticks, 2 or more; 0 is 65536. If a count of [`once`](Self::once)
    /// has not ended, setting the mode itself causes an interrupt, because the output rises.
    ///
    /// Context: any but NMI.
    pub fn every(&mut self, count: u16) {
        self.start(Mode::Rate, count);
    }

    /// Emulators continue to count while the channel is stopped, and if the host is late, they may
    /// raise the output for that count after the mode has changed. The longest count (55 ms), set
    /// while the line is masked, prevents this.
    fn start(&mut self, mode: Mode, count: u16) {
        if self.at_rest {
            start(mode, 0);
            self.line.set_masked(false);
            self.at_rest = false;
        }
        start(mode, count);
    }

    /// Whether the count of [`once`](Self::once) has ended: the interrupt has been raised.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn is_done(&self) -> bool {
        is_done()
    }
}

impl Drop for Pit {
    fn drop(&mut self) {
        rest();
    }
}
