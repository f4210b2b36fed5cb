//! The real-time clock: an interrupt 2 to 8192 times a second, or when the time has been updated (ISA
//! interrupt 8).

use alloc::format;
use core::sync::atomic::AtomicBool;

use tocsin_logic::devices::rtc::{
    INTERRUPTS, PERIODIC, REGISTER_A, REGISTER_B, REGISTER_C, REGISTER_D, SET, UPDATE_ENDED,
};
use tocsin_logic::vector::PriorityClass;

use super::{DeviceError, Ownership};
use crate::discover::machine;
use crate::hw::port;
use crate::line::{Claim, Line, Request, Source};
use crate::sync::IrqMutex;

pub use tocsin_logic::devices::rtc::{Cause, Rate};

const NAME: &str = "RTC";
const INDEX: u16 = 0x70;
const DATA: u16 = 0x71;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The index and the data port belong together, also when a handler comes in between.
static PORTS: IrqMutex<()> = IrqMutex::new(());

/// Reads a register. Any context but NMI and #MC.
fn read(register: u8) -> u8 {
    let _together = PORTS.lock();
    // SAFETY: 1. Selecting a register changes nothing. Bit 7 of the port, which would hold NMIs back, is 0.
    unsafe { port::write(INDEX, register) };
    // SAFETY: 1. The registers read here are A to D: only reading C does something, to its interrupt.
    unsafe { port::read::<u8>(DATA) }
}

/// Writes register A or B. Any context but NMI and #MC.
fn write(register: u8, value: u8) {
    let _together = PORTS.lock();
    // SAFETY: 1. As for `read`.
    unsafe { port::write(INDEX, register) };
    // SAFETY: 1. Registers A and B say when it interrupts; the time is left alone.
    unsafe { port::write(DATA, value) };
}

/// The clock, silent.
#[derive(Debug)]
pub struct Rtc {
    _ownership: Ownership,
}

impl Rtc {
    /// Its interrupt.
    pub const SOURCE: Source = Source::Isa(8);

    /// Takes the clock's interrupts and silences them.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Taken`]; [`DeviceError::Absent`], if the FADT says so or the registers do.
    pub fn claim() -> Result<Self, DeviceError> {
        let ownership = Ownership::take(&TAKEN, NAME)?;
        let fadt = machine().and_then(|machine| machine.fadt);
        if let Some(architecture) = fadt.and_then(|fadt| fadt.boot_architecture)
            && !architecture.has_cmos_rtc()
        {
            return Err(DeviceError::Absent(NAME, "the FADT says so"));
        }
        // Bits 6:0 of D and 3:0 of C are 0 always; where nothing answers they read as 1.
        if read(REGISTER_D) & 0x7f != 0 || Cause(read(REGISTER_C)).is_impossible() {
            let why = "its registers do not answer at ports 0x70 and 0x71";
            return Err(DeviceError::Absent(NAME, why));
        }
        silence();
        Ok(Self {
            _ownership: ownership,
        })
    }

    /// Has its interrupts answered by `handler` on CPU number `cpu`: acknowledged first, then told
    /// why they came.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Line`].
    pub fn answer<F>(self, class: PriorityClass, cpu: u32, handler: F) -> Result<Clock, DeviceError>
    where
        F: Fn(Cause) + Send + Sync + 'static,
    {
        let request = Request {
            name: "rtc",
            source: Self::SOURCE,
            class,
            cpu,
        };
        let answer = move || {
            let cause = Cause(read(REGISTER_C));
            if !cause.interrupts() {
                return Claim::NotMine;
            }
            handler(cause);
            Claim::Mine
        };
        let line = Line::new(request, answer).map_err(|error| DeviceError::Line(NAME, error))?;
        Ok(Clock { line, _rtc: self })
    }
}

/// The clock, with its interrupt answered.
#[derive(Debug)]
pub struct Clock {
    // First, so that nobody has to answer while the clock is silenced.
    line: Line,
    _rtc: Rtc,
}

impl Clock {
    /// Its line.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Interrupts at this rate, or not any more.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Wrong`], if the clock does not take the rate.
    pub fn every(&mut self, rate: Option<Rate>) -> Result<(), DeviceError> {
        enable(PERIODIC, false);
        let Some(rate) = rate else { return Ok(()) };
        write(REGISTER_A, rate.register_a());
        let shown = read(REGISTER_A) & 0x7f;
        if shown != rate.register_a() {
            let what = format!(
                "register A reads as {shown:#04x} after {:#04x} was written",
                rate.register_a()
            );
            return Err(DeviceError::Wrong(NAME, what));
        }
        enable(PERIODIC, true);
        Ok(())
    }

    /// Interrupts each time when the time has been updated, once a second, or not any more.
    ///
    /// Context: any but NMI.
    pub fn on_update(&mut self, wanted: bool) {
        enable(UPDATE_ENDED, wanted);
    }

    /// Acknowledges outside of the handler, and says what there was. **Needed after the line was
    /// masked**: the edge was lost, and without this there is no other.
    ///
    /// Context: any but NMI.
    pub fn acknowledge(&self) -> Cause {
        Cause(read(REGISTER_C))
    }
}

impl Drop for Rtc {
    fn drop(&mut self) {
        silence();
    }
}

/// Enables an interrupt or disables it; the time goes on.
fn enable(interrupt: u8, wanted: bool) {
    let others = read(REGISTER_B) & !(interrupt | SET);
    write(REGISTER_B, others | if wanted { interrupt } else { 0 });
}

/// Disables all interrupts, and acknowledges what there is.
fn silence() {
    enable(INTERRUPTS, false);
    // What it was for is of no interest.
    let _ = read(REGISTER_C);
}
