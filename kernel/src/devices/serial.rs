//! Driver for COM2: an interrupt when the transmitter is empty, and one when data has been
//! received. COM1 belongs to [`crate::console`].

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

/// Limit of causes per interrupt before the port counts as permanently asserted: far more than the
/// number of bytes that arrive at 115200 baud while they are read.
const MOST_CAUSES: u32 = 256;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The port, with its interrupts disabled.
#[derive(Debug)]
pub struct Serial {
    uart: Uart16550<PioBackend>,
    ownership: Ownership,
}

/// Interrupt counts of the port.
#[derive(Debug, Default)]
struct Counts {
    emptied: AtomicU64,
    received: AtomicU64,
    others: AtomicU64,
}

impl Serial {
    /// The interrupt of COM2.
    pub const SOURCE: Source = Source::Isa(3);

    /// Claims COM2 and sets it to 115200 baud, 8 data bits, no parity.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Taken`]; [`DeviceError::Absent`], if no 16550 responds at port 0x2f8.
    pub fn claim() -> Result<Self, DeviceError> {
        let ownership = Ownership::take(&TAKEN, NAME)?;
        let absent = DeviceError::Absent(NAME, "no 16550 answers at port 0x2f8");
        // SAFETY: COM2 is at this port on every PC that has it. Only the owner uses it.
        let mut uart = unsafe { Uart16550::new_port(COM2) }.map_err(|_| absent.clone())?;
        let config = Config {
            baud_rate: BaudRate::Baud115200,
            fifo_trigger_level: Some(FifoTriggerLevel::One),
            ..Config::DEFAULT
        };
        uart.init(config).map_err(|_| absent)?;
        Ok(Self { uart, ownership })
    }

    /// Handles the port's interrupts on CPU number `cpu`; received bytes are passed to `handler`.
    ///
    /// An empty transmitter is a cause, so most ports interrupt immediately.
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
    ) -> Result<Port, DeviceError>
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
        let line_handler = {
            let (uart, counts) = (Arc::clone(&uart), Arc::clone(&counts));
            move || handle_causes(&uart, &counts, &handler)
        };
        let line =
            Line::new(request, line_handler).map_err(|error| DeviceError::Line(NAME, error))?;
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

/// Handles every pending cause: the line is edge-triggered, so an unhandled cause would block all
/// further interrupts.
fn handle_causes(
    uart: &IrqMutex<Uart16550<PioBackend>>,
    counts: &Counts,
    handler: &impl Fn(u8),
) -> Claim {
    let mut claim = Claim::NotMine;
    let mut uart = uart.lock();
    for _ in 0..MOST_CAUSES {
        // This read acknowledges the empty-transmitter interrupt.
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

/// The port, with its interrupts enabled.
#[derive(Debug)]
pub struct Port {
    uart: Arc<IrqMutex<Uart16550<PioBackend>>>,
    line: Line,
    counts: Arc<Counts>,
    _ownership: Ownership,
}

impl Port {
    /// The line of the port.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Number of empty-transmitter interrupts.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn emptied(&self) -> u64 {
        self.counts.emptied.load(Ordering::Acquire)
    }

    /// Number of received-data interrupts.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.counts.received.load(Ordering::Acquire)
    }

    /// Number of interrupts for other causes, although none was enabled.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.counts.others.load(Ordering::Acquire)
    }

    /// Sends a byte; the port interrupts when it can accept the next one.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Cannot`], if the previous byte is still being sent.
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
