//! Channel 0 of the 8254 interval timer, which interrupts when its output rises (ISA interrupt 0).

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

/// The mode in which the output is high and nothing counts; see [`rest`].
const RESTING: Mode = Mode::Triggered;

/// How long to wait for an interrupt that may arrive elsewhere, in nanoseconds.
const TRIAL: u64 = 100_000_000;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The channel, silent.
#[derive(Debug)]
pub struct Pit {
    _ownership: Ownership,
}

impl Pit {
    /// Takes the channel and silences it.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Taken`]; [`DeviceError::Absent`], if it does not take a mode.
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

    /// Sets `handler` for its interrupt, on CPU number `cpu`.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// Those of [`source`](Self::source).
    pub fn answer<F>(
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

    /// Where its interrupt arrives. Where the MADT says nothing of it, that is GSI 0; but there are
    /// boards that wire it to GSI 2, as those do that say so, and QEMU's microvm is one. So it is tried.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Line`]; [`DeviceError::Wrong`], if it arrives at neither.
    pub fn source(&mut self, class: PriorityClass, cpu: u32) -> Result<Source, DeviceError> {
        let topology = machine().map(|machine| &machine.topology);
        let route = topology.and_then(|topology| topology.isa_irq(0));
        let told = Source::Isa(0);
        if route.is_some_and(|route| route.overridden) {
            return Ok(told);
        }
        let other = Source::Gsi {
            gsi: Gsi(2),
            mode: Some(route::Mode::ISA),
        };
        for source in [told, other] {
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

/// Leaves the output high and the counter without effect: the next count raises nothing when its mode
/// is set. In mode 1 the output is high until the gate rises, and this channel's always is high. The
/// count is written because some emulated counters go on with the old one until then: an edge that
/// such a counter owes comes now or never.
fn rest() {
    start(RESTING, 1);
}

fn start(mode: Mode, count: u16) {
    pit::set_mode(CHANNEL, mode);
    pit::set_count(CHANNEL, count);
}

/// Whether the count of mode 0 is done.
fn is_done() -> bool {
    let status = pit::status(CHANNEL);
    status.output() && !status.is_count_pending()
}

/// The channel, with its interrupt answered.
#[derive(Debug)]
pub struct Timer {
    // First, so that coming to rest raises nothing any more.
    line: Line,
    _pit: Pit,
    /// No count has been set, and the line is masked.
    at_rest: bool,
}

impl Timer {
    /// Its line.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Interrupts once, after `count` + 1 ticks of 1 / [`FREQUENCY`] s; a count of 0 is 65536. What
    /// was set before is forgotten.
    ///
    /// Context: any but NMI.
    pub fn once(&mut self, count: u16) {
        self.start(Mode::OneShot, count);
    }

    /// Interrupts every `count` ticks, 2 or more; 0 is 65536. While a count of [`once`](Self::once) has
    /// not been done, setting the mode is itself an interrupt, because the output rises.
    ///
    /// Context: any but NMI.
    pub fn every(&mut self, count: u16) {
        self.start(Mode::Rate, count);
    }

    /// Emulators still count when the channel is at rest, and one whose host is late raises the output
    /// for it once the mode has changed. The longest count (55 ms) ends that while the line is masked.
    fn start(&mut self, mode: Mode, count: u16) {
        if self.at_rest {
            start(mode, 0);
            self.line.set_masked(false);
            self.at_rest = false;
        }
        start(mode, count);
    }

    /// Whether the count of [`once`](Self::once) is done: the interrupt has been raised.
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
