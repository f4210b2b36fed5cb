//! The console on COM1: the log, the output of commands, and keyboard input.
//!
//! The kernel also runs without a serial port, but then it prints nothing.

#[cfg(feature = "logger")]
mod logger;

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use arrayvec::ArrayString;
use log::LevelFilter;
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::IER;
use uart_16550::{BaudRate, Config, Uart16550};

use crate::sync::{self, IrqGuard, IrqMutex};

/// First port of COM1.
pub(crate) const COM1: u16 = 0x3f8;

/// Number of polls before the port counts as stalled. They take a few seconds, so that no output is
/// lost when the receiver pauses. After that, output is dropped without waiting until the port
/// accepts a byte again.
const SEND_TRIES: u32 = 1 << 22;

/// Number of polls of a console whose holder sends nothing before a fault report is printed without
/// the lock. A count and not a time: if the host deschedules virtual CPUs, the polling CPU is
/// delayed, too.
const SEIZE_TRIES: u32 = 1 << 20;

static CONSOLE: IrqMutex<Option<Console>> = IrqMutex::new(None);
static SENT: AtomicU64 = AtomicU64::new(0);
/// Number of fault reports that wait for the console.
static WAITING_REPORTS: AtomicU32 = AtomicU32::new(0);
/// Number of times that the prompt was printed again.
static REDRAWN: AtomicU32 = AtomicU32::new(0);
/// Whether the line that interrupted a prompt is still unfinished.
static CONTINUES: AtomicBool = AtomicBool::new(false);

/// Longest prompt with the line so far, in bytes.
const PROMPT_MAX: usize = 320;

/// The serial port, as a `Write` target.
struct Console {
    uart: Uart16550<PioBackend>,
    /// Whether the last byte sent ended a line.
    at_line_start: bool,
    /// Number of bytes dropped since the port stalled.
    dropped: u64,
    /// The prompt and the line so far; empty while no prompt is open.
    prompt: ArrayString<PROMPT_MAX>,
}

impl Console {
    /// Sends a byte. If the port accepts none, one call waits; later calls drop their bytes until
    /// the port accepts a byte again, and then the number of lost bytes is printed.
    fn send(&mut self, byte: u8) {
        self.at_line_start = byte == b'\n';
        let tries = if self.dropped == 0 { SEND_TRIES } else { 1 };
        if !self.try_send(byte, tries) {
            self.dropped += 1;
        } else if self.dropped > 0 {
            let dropped = core::mem::take(&mut self.dropped);
            // The message waits like any output, and the port may stall again in the meantime.
            let _ = write!(
                self,
                "\n[console: {dropped} bytes were dropped: the port took none]\n"
            );
        }
    }

    fn try_send(&mut self, byte: u8, tries: u32) -> bool {
        for _ in 0..tries {
            if self.uart.try_send_byte(byte).is_ok() {
                SENT.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            core::hint::spin_loop();
        }
        false
    }

    /// Ends an unfinished line, such as a prompt.
    fn begin_line(&mut self) {
        if !self.at_line_start {
            self.send(b'\r');
            self.send(b'\n');
        }
    }

    /// Calls `write` while a prompt may be open: the output begins on a new line, and the prompt is
    /// printed again below it.
    fn interrupt_prompt<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        if self.prompt.is_empty() {
            return write(self);
        }
        if !CONTINUES.load(Ordering::Relaxed) {
            self.begin_line();
        }
        let result = write(self);
        self.draw_prompt();
        result
    }

    /// Prints the prompt again, if one is open and the line before it is finished.
    fn draw_prompt(&mut self) {
        CONTINUES.store(!self.at_line_start, Ordering::Relaxed);
        if !self.prompt.is_empty() && self.at_line_start {
            let prompt = self.prompt;
            prompt.bytes().for_each(|byte| self.send(byte));
            REDRAWN.fetch_add(1, Ordering::Relaxed);
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
    // SAFETY: COM1 is at this port on every PC. Only the value in `CONSOLE` uses it.
    let uart = unsafe { Uart16550::new_port(COM1) };
    let Ok(mut uart) = uart else { return false };
    let present = uart.init(config).is_ok();
    if present {
        *CONSOLE.lock() = Some(Console {
            uart,
            at_line_start: true,
            dropped: 0,
            prompt: ArrayString::new_const(),
        });
    }
    // SAFETY: Only its address is used.
    sync::set_log(unsafe { CONSOLE.raw() });
    #[cfg(feature = "logger")]
    logger::set_up();
    log::set_max_level(LevelFilter::Info);
    present
}

/// Calls `f` with the console, if there is one. A waiting fault report takes precedence.
fn with<T>(f: impl FnOnce(&mut Console) -> T) -> Option<T> {
    while WAITING_REPORTS.load(Ordering::Relaxed) > 0 {
        core::hint::spin_loop();
    }
    CONSOLE.lock().as_mut().map(f)
}

/// Writes formatted text; the function behind [`print!`](crate::print).
///
/// Context: any but NMI.
pub fn write(arguments: fmt::Arguments<'_>) {
    // Writing to the console never fails.
    with(|console| console.interrupt_prompt(|console| console.write_fmt(arguments)));
}

/// Sets the text that is printed again after other output: the prompt and the line so far, with the
/// cursor at its end; empty while no prompt is open. Sends `bytes`, which display it.
///
/// Context: thread.
pub fn set_prompt(text: &str, bytes: &[u8]) {
    with(|console| {
        console.prompt.clear();
        for character in text.chars() {
            // Text beyond the capacity is not printed again, but stays in the editor.
            if console.prompt.try_push(character).is_err() {
                break;
            }
        }
        CONTINUES.store(false, Ordering::Relaxed);
        // This follows the update of the text, so that the report of an NMI that arrives as soon as
        // the prompt is visible prints it again.
        for &byte in bytes {
            console.send(byte);
        }
    });
}

/// Number of times that the prompt was printed again. Context: any.
pub fn redrawn() -> u32 {
    REDRAWN.load(Ordering::Relaxed)
}

/// Sends bytes unchanged.
///
/// Context: any but NMI.
pub fn write_bytes(bytes: &[u8]) {
    with(|console| bytes.iter().for_each(|&byte| console.send(byte)));
}

/// The next received byte, if any.
///
/// Context: any but NMI.
#[must_use]
pub fn read_byte() -> Option<u8> {
    with(|console| console.uart.try_receive_byte().ok())?
}

/// Enables the port's interrupt for received data: ISA interrupt [`ISA_IRQ`].
///
/// Context: any but NMI.
pub fn enable_receive_interrupt() {
    with(|console| console.uart.enable_interrupts(IER::DATA_READY));
}

/// Enables or disables the port's interrupt for an empty transmitter.
///
/// Context: thread.
pub fn enable_transmit_interrupt(on: bool) {
    with(|console| {
        if on {
            console.uart.enable_interrupts(IER::THR_EMPTY);
        } else {
            console.uart.disable_interrupts(IER::THR_EMPTY);
        }
    });
}

/// Whether there is a COM1. Context: any but NMI.
pub fn is_present() -> bool {
    CONSOLE.lock().is_some()
}

/// ISA interrupt of COM1.
pub const ISA_IRQ: u8 = 4;

/// The console while a fault report owns it.
pub struct Report {
    console: *mut Option<Console>,
    /// The lock's guard; `None` if the report has interrupted the holder, or the holder is stuck.
    _guard: Option<IrqGuard<'static, Option<Console>>>,
}

impl Report {
    fn console(&mut self) -> Option<&mut Console> {
        // SAFETY: The console is a static. Either the report holds the lock; or the holder does not
        // continue, because the report interrupted it or it is stuck, and an interrupted call
        // leaves no invalid state in the UART driver.
        unsafe { &mut *self.console }.as_mut()
    }
}

impl Report {
    /// Stops printing the prompt, because the kernel stops.
    pub(crate) fn close_prompt(&mut self) {
        if let Some(console) = self.console() {
            console.prompt.clear();
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        if let Some(console) = self.console() {
            console.draw_prompt();
        }
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Report")
    }
}

impl Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.console()
            .map_or(Ok(()), |console| console.write_str(text))
    }
}

/// Takes the console for a report, at the beginning of a line: with precedence over normal output,
/// and also from the code that the report is about. If the holder is another CPU that has sent
/// nothing for a long time, the report is printed without the lock: interleaved output is better
/// than no report.
///
/// While it waits, it calls `waiting`, and returns `None` when that returns false.
pub(crate) fn seize(waiting: impl Fn() -> bool) -> Option<Report> {
    WAITING_REPORTS.fetch_add(1, Ordering::Relaxed);
    let claim = wait_for_console(waiting);
    WAITING_REPORTS.fetch_sub(1, Ordering::Relaxed);
    let guard = match claim {
        Claim::Locked(guard) => Some(guard),
        Claim::Forced => None,
        Claim::GivenUp => return None,
    };
    let mut report = Report {
        console: CONSOLE.data_ptr(),
        _guard: guard,
    };
    if let Some(console) = report.console() {
        console.begin_line();
    }
    Some(report)
}

/// Whether the interrupted code or the caller itself holds the console. Any context.
pub(crate) fn is_held_here() -> bool {
    // SAFETY: The lock is only read.
    unsafe { CONSOLE.raw() }.is_held_here()
}

/// Releases the console if the interrupted code holds it.
///
/// # Safety
///
/// That code must never resume.
pub(crate) unsafe fn abandon() {
    if is_held_here() {
        // SAFETY: It is used as a lock only.
        let lock = unsafe { CONSOLE.raw() };
        // SAFETY: The lock is held, and its holder does not continue. An interrupted call leaves no
        // invalid state in the UART driver.
        unsafe { lock.abandon() };
    }
}

/// Result of a wait for the console.
enum Claim {
    Locked(IrqGuard<'static, Option<Console>>),
    /// The holder is the code that the report interrupted, or is stuck.
    Forced,
    GivenUp,
}

fn wait_for_console(waiting: impl Fn() -> bool) -> Claim {
    let (mut sent, mut tries) = (SENT.load(Ordering::Relaxed), 0);
    loop {
        // Reading first avoids cache-line traffic for the holder.
        if !CONSOLE.is_locked()
            && let Some(guard) = CONSOLE.try_lock()
        {
            return Claim::Locked(guard);
        }
        // While bytes are being sent, the holder is making progress and will finish.
        let now = SENT.load(Ordering::Relaxed);
        tries = if now == sent { tries + 1 } else { 0 };
        sent = now;
        if is_held_here() || tries == SEIZE_TRIES {
            return Claim::Forced;
        }
        if !waiting() {
            return Claim::GivenUp;
        }
        core::hint::spin_loop();
    }
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
