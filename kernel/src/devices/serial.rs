//! A serial port that the console does not use: an interrupt when it can take a byte to send, and one
//! when it has received some. COM1 is [`crate::console`]'s.

use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tocsin_logic::vector::PriorityClass;
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::FifoTriggerLevel;
use uart_16550::spec::registers::{IER, InterruptType};
use uart_16550::{BaudRate, Config, Uart16550};

use super::{DeviceError, Ownership};
use crate::line::{Claim, Line, Request, Source};
use crate::sync::IrqMutex;

const NAME: &str = "COM2";
const COM2: u16 = 0x2f8;

/// Causes that one interrupt may have before the port counts as one that never ends: far more than
/// bytes arrive at 115200 baud while they are taken.
const MOST_CAUSES: u32 = 256;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The port, silent.
#[derive(Debug)]
pub struct Serial {
    uart: Uart16550<PioBackend>,
    ownership: Ownership,
}

/// What has come of the port's interrupts.
#[derive(Debug, Default)]
struct Counts {
    emptied: AtomicU64,
    received: AtomicU64,
    others: AtomicU64,
}

impl Serial {
    /// Its interrupt.
    pub const SOURCE: Source = Source::Isa(3);

    /// Takes COM2 and sets it to 115200 baud, 8 data bits, no parity.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Taken`]; [`DeviceError::Absent`], if no 16550 answers at port 0x2f8.
    pub fn claim() -> Result<Self, DeviceError> {
        let ownership = Ownership::take(&TAKEN, NAME)?;
        let absent = DeviceError::Absent(NAME, "no 16550 answers at port 0x2f8");
        // SAFETY: 1. COM2 is at this port on every PC that has it. 2. Only the owner uses it.
        let mut uart = unsafe { Uart16550::new_port(COM2) }.map_err(|_| absent.clone())?;
        let config = Config {
            baud_rate: BaudRate::Baud115200,
            fifo_trigger_level: Some(FifoTriggerLevel::One),
            ..Config::DEFAULT
        };
        uart.init(config).map_err(|_| absent)?;
        Ok(Self { uart, ownership })
    }

    /// Handles its interrupts on CPU number `cpu`; received bytes go to `handler`.
    ///
    /// Nothing to send is a reason to interrupt: with most ports one comes at once.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Line`].
    pub fn answer<F>(self, class: PriorityClass, cpu: u32, handler: F) -> Result<Port, DeviceError>
    where
        F: Fn(u8) + Send + Sync + 'static,
    {
        let uart = Arc::new(IrqMutex::new(self.uart));
        let counts = Arc::new(Counts::default());
        let request = Request {
            name: "com2",
            source: Self::SOURCE,
            class,
            cpu,
        };
        let answer = {
            let (uart, counts) = (Arc::clone(&uart), Arc::clone(&counts));
            move || answer(&uart, &counts, &handler)
        };
        let line = Line::new(request, answer).map_err(|error| DeviceError::Line(NAME, error))?;
        let interrupts = IER::THR_EMPTY | IER::DATA_READY;
        uart.lock().enable_interrupts(interrupts);
        Ok(Port {
            uart,
            line,
            counts,
            _ownership: self.ownership,
        })
    }
}

/// Serves every cause that the port has: its line is edge-triggered, so one that is left would keep it
/// from ever interrupting again.
fn answer(uart: &IrqMutex<Uart16550<PioBackend>>, counts: &Counts, handler: &impl Fn(u8)) -> Claim {
    let mut claim = Claim::NotMine;
    let mut uart = uart.lock();
    for _ in 0..MOST_CAUSES {
        // Reading it answers an emptied transmitter.
        let Some(cause) = uart.isr().interrupt_type() else {
            break;
        };
        claim = Claim::Mine;
        let counter = match cause {
            InterruptType::TransmitterHoldingRegisterEmpty => &counts.emptied,
            InterruptType::ReceivedDataReady | InterruptType::ReceptionTimeout => {
                while let Ok(byte) = uart.try_receive_byte() {
                    handler(byte);
                }
                &counts.received
            }
            _ => &counts.others,
        };
        counter.fetch_add(1, Ordering::Release);
    }
    claim
}

/// The port at work.
#[derive(Debug)]
pub struct Port {
    uart: Arc<IrqMutex<Uart16550<PioBackend>>>,
    line: Line,
    counts: Arc<Counts>,
    _ownership: Ownership,
}

impl Port {
    /// Its line.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// How often it had become empty, so that another byte could be sent.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn emptied(&self) -> u64 {
        self.counts.emptied.load(Ordering::Acquire)
    }

    /// How often it had received something.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.counts.received.load(Ordering::Acquire)
    }

    /// How often it interrupted for another reason, though none was enabled.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.counts.others.load(Ordering::Acquire)
    }

    /// Sends a byte, which makes it interrupt when it can take the next.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Cannot`], if the one before has not been sent.
    pub fn send(&mut self, byte: u8) -> Result<(), DeviceError> {
        let sent = self.uart.lock().try_send_byte(byte);
        sent.map_err(|error| DeviceError::Cannot(NAME, format!("byte {byte:#04x}: {error}")))
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.uart.lock().disable_interrupts(IER::all());
    }
}
