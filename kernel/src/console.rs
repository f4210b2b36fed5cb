//! COM1: the log, what commands print, and the keys people type.
//!
//! The kernel goes on without a serial port; then it is only silent.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use log::{LevelFilter, Log, Metadata, Record};
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::IER;
use uart_16550::{BaudRate, Config, Uart16550};

use crate::sync::{IrqGuard, IrqMutex};
use crate::time;

/// First port of COM1.
const COM1: u16 = 0x3f8;

/// Polls before a byte that the port does not take is dropped: some seconds. A reader that
/// merely pauses loses nothing; a port that died does not stop the kernel.
const SEND_TRIES: u32 = 1 << 24;

/// Attempts to get the console, while nothing is sent, before a fault report takes it by force.
const SEIZE_TRIES: u32 = 1 << 20;

static CONSOLE: IrqMutex<Option<Console>> = IrqMutex::new(None);
static SENT: AtomicU64 = AtomicU64::new(0);
static DROPPED: AtomicU64 = AtomicU64::new(0);
static CPU_NUMBER: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());
static LOGGER: Logger = Logger;

/// The serial port, as something that text can be written to.
struct Console {
    uart: Uart16550<PioBackend>,
    /// Whether the last byte sent ended a line.
    at_line_start: bool,
}

impl Console {
    fn send(&mut self, byte: u8) {
        self.at_line_start = byte == b'\n';
        for _ in 0..SEND_TRIES {
            if self.uart.try_send_byte(byte).is_ok() {
                SENT.fetch_add(1, Ordering::Relaxed);
                return;
            }
            core::hint::spin_loop();
        }
        DROPPED.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends a line that is not finished, such as a prompt.
    fn begin_line(&mut self) {
        if !self.at_line_start {
            self.send(b'\r');
            self.send(b'\n');
        }
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.send(b'\r');
            }
            self.send(byte);
        }
        Ok(())
    }
}

/// Sets COM1 to 115200 baud, 8 data bits, no parity, and sends the log to it.
/// Returns whether there is a COM1.
pub(crate) fn init() -> bool {
    let config = Config {
        baud_rate: BaudRate::Baud115200,
        ..Config::DEFAULT
    };
    // SAFETY: 1. COM1 is at this port on every PC. 2. Only the value in `CONSOLE` uses it.
    let uart = unsafe { Uart16550::new_port(COM1) };
    let Ok(mut uart) = uart else { return false };
    let present = uart.init(config).is_ok();
    if present {
        *CONSOLE.lock() = Some(Console {
            uart,
            at_line_start: true,
        });
    }
    // Fails only if a logger is set already, which then is this one.
    let _ = log::set_logger(&LOGGER);
    log::set_max_level(LevelFilter::Info);
    present
}

/// Tells the log how to learn the number of the CPU it runs on. Until then lines say `cpu0`.
pub(crate) fn set_cpu_number(number: fn() -> u32) {
    CPU_NUMBER.store(number as *mut (), Ordering::Release);
}

fn cpu_number() -> u32 {
    let pointer = CPU_NUMBER.load(Ordering::Acquire);
    if pointer.is_null() {
        return 0;
    }
    // SAFETY: 1. Only `set_cpu_number` stores here, and it stores a `fn() -> u32`.
    let number = unsafe { core::mem::transmute::<*mut (), fn() -> u32>(pointer) };
    number()
}

/// Writes formatted text; what [`print!`](crate::print) is made of. Any context but NMI and #MC.
pub fn write(arguments: fmt::Arguments<'_>) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        // A console never reports an error.
        let _ = console.write_fmt(arguments);
    }
}

/// Sends bytes as they are.
pub(crate) fn write_bytes(bytes: &[u8]) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        for &byte in bytes {
            console.send(byte);
        }
    }
}

/// The next byte received, if there is one.
pub fn read_byte() -> Option<u8> {
    CONSOLE.lock().as_mut()?.uart.try_receive_byte().ok()
}

/// Lets the port interrupt when it has received something.
pub(crate) fn enable_receive_interrupt() {
    if let Some(console) = CONSOLE.lock().as_mut() {
        console.uart.enable_interrupts(IER::DATA_READY);
    }
}

/// ISA interrupt of COM1.
pub(crate) const ISA_IRQ: u8 = 4;

/// Bytes that could not be sent since the kernel started.
#[must_use]
pub fn dropped_bytes() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// The console in the hands of a fault report, to the exclusion of everybody else.
pub struct Report<'a>(IrqGuard<'a, Option<Console>>);

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

impl Write for Report<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0
            .as_mut()
            .map_or(Ok(()), |console| console.write_str(text))
    }
}

/// Takes the console for a report. If its holder does not let go, because it is the very
/// code that faulted, the console is taken by force: a torn line beats no report.
pub(crate) fn seize() -> Report<'static> {
    loop {
        let sent = SENT.load(Ordering::Relaxed);
        for _ in 0..SEIZE_TRIES {
            if let Some(mut guard) = CONSOLE.try_lock() {
                if let Some(console) = guard.as_mut() {
                    console.begin_line();
                }
                return Report(guard);
            }
            core::hint::spin_loop();
        }
        // As long as something is being sent, somebody else is writing, and will be done.
        if SENT.load(Ordering::Relaxed) == sent {
            // SAFETY: 1. The holder has sent nothing for longer than a byte takes, so it is stuck or
            // is the code under this report; the UART driver has no state that a torn call breaks.
            unsafe { CONSOLE.force_unlock() };
        }
    }
}

struct Logger;

impl Log for Logger {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let microseconds = time::nanoseconds() / 1000;
        let (seconds, rest) = (microseconds / 1_000_000, microseconds % 1_000_000);
        let level = match record.level() {
            log::Level::Error => "error: ",
            log::Level::Warn => "warning: ",
            _ => "",
        };
        if let Some(console) = CONSOLE.lock().as_mut() {
            console.begin_line();
            // A console never reports an error.
            let _ = writeln!(
                console,
                "[{seconds:>4}.{rest:06}] cpu{:<3} {level}{}",
                cpu_number(),
                record.args()
            );
        }
    }

    fn flush(&self) {}
}

/// Prints to the console without a line end.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::write(format_args!($($argument)*)) };
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => { $crate::console::write(format_args!("{}\n", format_args!($($argument)*))) };
}
