//! The real-time clock: a periodic interrupt at 2 to 8192 Hz, or an interrupt after each update of
//! the time (ISA interrupt 8).

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

/// Serialises accesses to the index and data ports, also against handlers.
static PORTS: IrqMutex<()> = IrqMutex::new(());

/// Reads a register. Any context but NMI and #MC.
fn read(register: u8) -> u8 {
    let _together = PORTS.lock();
    // SAFETY: Selecting a register has no effect. Bit 7 of the port, which would mask NMIs, is 0.
    unsafe { port::write(INDEX, register) };
    // SAFETY: The registers read here are A to D: only reading C has a side effect, on its
    // interrupt.
    unsafe { port::read::<u8>(DATA) }
}

/// Writes register A or B. Any context but NMI and #MC.
fn write(register: u8, value: u8) {
    let _together = PORTS.lock();
    // SAFETY: As for `read`.
    unsafe { port::write(INDEX, register) };
    // SAFETY: Registers A and B control the interrupts; the time is not changed.
    unsafe { port::write(DATA, value) };
}

/// The clock, with its interrupts disabled.
#[derive(Debug)]
pub struct Rtc {
    _ownership: Ownership,
}

impl Rtc {
    /// The interrupt of the clock.
    pub const SOURCE: Source = Source::Isa(8);

    /// Claims the clock's interrupts and disables them.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Taken`]; [`DeviceError::Absent`], if the FADT or the registers show that
    /// there is no clock.
    pub fn claim() -> Result<Self, DeviceError> {
        let ownership = Ownership::take(&TAKEN, NAME)?;
        let fadt = machine().and_then(|machine| machine.fadt);
        if let Some(architecture) = fadt.and_then(|fadt| fadt.boot_architecture)
            && !architecture.has_cmos_rtc()
        {
            return Err(DeviceError::Absent(NAME, "the FADT says so"));
        }
        // Bits 6:0 of D and 3:0 of C are always 0; without a device they read as 1.
        if read(REGISTER_D) & 0x7f != 0 || Cause(read(REGISTER_C)).is_impossible() {
            let why = "its registers do not answer at ports 0x70 and 0x71";
            return Err(DeviceError::Absent(NAME, why));
        }
        silence();
        Ok(Self {
            _ownership: ownership,
        })
    }

    /// Handles the clock's interrupts on CPU number `cpu`: acknowledges each and passes its causes
    /// to `handler`.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Line`].
    pub fn with_handler<F>(
        self,
        class: PriorityClass,
        cpu: u32,
        handler: F,
    ) -> Result<Clock, DeviceError>
    where
        F: Fn(Cause) + Send + Sync + 'static,
    {
        let request = Request {
            name: "rtc",
            source: Self::SOURCE,
            class,
            cpu,
        };
        let line_handler = move || {
            let cause = Cause(read(REGISTER_C));
            if !cause.interrupts() {
                return Claim::NotMine;
            }
            handler(cause);
            Claim::Mine
        };
        let line =
            Line::new(request, line_handler).map_err(|error| DeviceError::Line(NAME, error))?;
        Ok(Clock { line, _rtc: self })
    }
}

/// The clock, with a handler for its interrupt.
#[derive(Debug)]
pub struct Clock {
    // Dropped first, so that no interrupt needs handling while the clock is being silenced.
    line: Line,
    _rtc: Rtc,
}

impl Clock {
    /// The line of the clock.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Enables the periodic interrupt at this rate, or disables it.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Wrong`], if the clock does not accept the rate.
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

    /// Enables or disables the interrupt after each update of the time, once a second.
    ///
    /// Context: any but NMI.
    pub fn on_update(&mut self, wanted: bool) {
        enable(UPDATE_ENDED, wanted);
    }

    /// Acknowledges the interrupt outside of the handler and returns the causes. **Required after
    /// the line was masked**: the edge was lost, and no other follows without this.
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

/// Enables or disables an interrupt; the time keeps running.
fn enable(interrupt: u8, wanted: bool) {
    let others = read(REGISTER_B) & !(interrupt | SET);
    write(REGISTER_B, others | if wanted { interrupt } else { 0 });
}

/// Disables all interrupts and acknowledges pending ones.
fn silence() {
    enable(INTERRUPTS, false);
    // The causes are ignored.
    let _ = read(REGISTER_C);
}
