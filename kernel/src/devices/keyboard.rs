//! The keyboard behind the i8042 controller: an interrupt for each byte (ISA interrupt 1).
//!
//! The `pc-keyboard` crate decodes the bytes. The controller's translation to scan code set 1 is
//! disabled.

use alloc::format;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pc_keyboard::layouts::Us104Key;
use pc_keyboard::{DecodedKey, HandleControl, PS2Keyboard, ScancodeSet2};
use tocsin_logic::devices::i8042::{CommandByte, Status, TEST_PASSED, command, keyboard};
use tocsin_logic::irq::queue::Queue;
use tocsin_logic::vector::PriorityClass;

use super::{DeviceError, Ownership, TIMEOUT};
use crate::hw::port;
use crate::line::{Claim, Line, Request, Source};
use crate::sync::without_interrupts;
use crate::time;

const NAME: &str = "keyboard";
const DATA: u16 = 0x60;
const STATUS_AND_COMMAND: u16 = 0x64;

/// Timeout for the keyboard's self-test after a reset, in nanoseconds: 0.75 s plus a margin.
const TEST_PATIENCE: u64 = 2_000_000_000;

/// Idle time that shows that no byte was in transit when the devices were disabled, in nanoseconds:
/// a byte takes less than 1.5 ms on the wire.
const LAST_BYTE: u64 = 2_000_000;

/// Number of times that a command is resent when the keyboard requests it.
const TRIES: u32 = 3;

/// Capacity of the queue of unread bytes; a power of two.
const WAITING: usize = 256;

static TAKEN: AtomicBool = AtomicBool::new(false);

fn status() -> Status {
    // SAFETY: Reading the status has no side effect.
    Status(unsafe { port::read(STATUS_AND_COMMAND) })
}

fn take_byte() -> u8 {
    // SAFETY: The read removes the pending byte, which belongs to this driver.
    unsafe { port::read(DATA) }
}

/// Writes to a port of the controller when it is ready.
fn write(port: u16, value: u8) -> Result<(), DeviceError> {
    if !time::wait_until(TIMEOUT, || !status().is_busy()) {
        return wrong("the controller does not take what it is sent");
    }
    // SAFETY: This driver owns the controller. Its commands affect only the controller and the
    // keyboard.
    unsafe { port::write(port, value) };
    Ok(())
}

fn wrong<T>(what: &str) -> Result<T, DeviceError> {
    Err(DeviceError::Wrong(NAME, what.into()))
}

/// The next received byte, by polling.
fn next_byte(limit: u64) -> Option<u8> {
    time::wait_until(limit, || status().has_output()).then(take_byte)
}

/// Sends a command to the controller and returns the response.
fn ask(command: u8) -> Result<u8, DeviceError> {
    write(STATUS_AND_COMMAND, command)?;
    let answer = next_byte(TIMEOUT);
    answer.ok_or_else(|| {
        let what = format!("the controller does not answer command {command:#04x}");
        DeviceError::Wrong(NAME, what)
    })
}

/// Whether there is a controller that accepts a command and responds to it.
fn answers() -> bool {
    !status().is_nothing() && ask(command::READ_COMMAND_BYTE).is_ok()
}

fn set_command_byte(byte: CommandByte) -> Result<(), DeviceError> {
    write(STATUS_AND_COMMAND, command::WRITE_COMMAND_BYTE)?;
    write(DATA, byte.0)
}

/// Sends a byte to the keyboard, and resends it on request, until the keyboard acknowledges it.
fn tell_keyboard(byte: u8) -> Result<(), DeviceError> {
    for _ in 0..TRIES {
        write(DATA, byte)?;
        match next_byte(TIMEOUT) {
            Some(keyboard::ACKNOWLEDGE) => return Ok(()),
            Some(keyboard::RESEND) => {}
            Some(other) => {
                let what = format!("it answers {byte:#04x} with {other:#04x}");
                return Err(DeviceError::Wrong(NAME, what));
            }
            None => break,
        }
    }
    let what = format!("it does not acknowledge {byte:#04x}");
    Err(DeviceError::Wrong(NAME, what))
}

/// Data and counts of the interrupt handler.
#[derive(Debug)]
struct Taken {
    bytes: Queue<WAITING>,
    count: AtomicU64,
    empty: AtomicU64,
}

/// The keyboard, with its interrupt enabled.
pub struct Keyboard {
    // Dropped first, so that no interrupt needs handling while the controller is being silenced.
    line: Line,
    taken: Arc<Taken>,
    decoder: PS2Keyboard<Us104Key, ScancodeSet2>,
    controller: Controller,
}

/// The controller. Dropping it disables its interrupts.
#[derive(Debug)]
struct Controller {
    /// The command byte with interrupts disabled.
    silent: CommandByte,
    _ownership: Ownership,
}

impl Controller {
    /// Claims and tests the controller, and sets the keyboard to scan code set 2, without
    /// interrupts.
    fn start() -> Result<Self, DeviceError> {
        let ownership = Ownership::take(&TAKEN, NAME)?;
        if !answers() {
            // Half of the FADTs in the field report that an existing controller is absent, so the
            // flag is ignored.
            return Err(DeviceError::Absent(
                NAME,
                "no 8042 controller answers at port 0x64",
            ));
        }
        write(STATUS_AND_COMMAND, command::DISABLE_KEYBOARD)?;
        write(STATUS_AND_COMMAND, command::DISABLE_MOUSE)?;
        // Discards the keys typed so far.
        while next_byte(LAST_BYTE).is_some() {}
        let silent = CommandByte(ask(command::READ_COMMAND_BYTE)?).silent();
        set_command_byte(silent)?;
        let controller = Self {
            silent,
            _ownership: ownership,
        };
        if ask(command::TEST)? != TEST_PASSED {
            return wrong("the controller fails its own test");
        }
        // The test may have reset the controller.
        set_command_byte(silent)?;
        if ask(command::TEST_KEYBOARD_PORT)? != 0 {
            return wrong("the controller finds fault with the keyboard's lines");
        }
        write(STATUS_AND_COMMAND, command::ENABLE_KEYBOARD)?;
        tell_keyboard(keyboard::RESET)?;
        if next_byte(TEST_PATIENCE) != Some(keyboard::TEST_PASSED) {
            return wrong("it fails its own test");
        }
        tell_keyboard(keyboard::DISABLE)?;
        tell_keyboard(keyboard::SELECT_SET)?;
        tell_keyboard(2)?;
        Ok(controller)
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        // Errors are ignored: the controller may no longer accept commands.
        let _ = write(STATUS_AND_COMMAND, command::DISABLE_KEYBOARD);
        let _ = set_command_byte(self.silent);
    }
}

impl Keyboard {
    /// The interrupt of the keyboard.
    pub const SOURCE: Source = Source::Isa(1);

    /// The byte that the keyboard sends in response to an [`echo`](Self::echo).
    pub const ECHO: u8 = keyboard::ECHO;

    /// Claims and tests the controller and the keyboard, and handles the keyboard's interrupts on
    /// CPU number `cpu`. In a thread; takes up to a second.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Absent`], [`DeviceError::Taken`], [`DeviceError::Line`];
    /// [`DeviceError::Wrong`], if a test fails or a response is missing.
    pub fn start(class: PriorityClass, cpu: u32) -> Result<Self, DeviceError> {
        let controller = Controller::start()?;
        let taken = Arc::new(Taken {
            bytes: Queue::new(),
            count: AtomicU64::new(0),
            empty: AtomicU64::new(0),
        });
        let handler = {
            let taken = Arc::clone(&taken);
            move || taken.take()
        };
        let request = Request {
            name: "keyboard",
            source: Self::SOURCE,
            class,
            cpu,
        };
        let line = Line::new(request, handler).map_err(|error| DeviceError::Line(NAME, error))?;
        // The last polled byte; the handler receives all later ones.
        tell_keyboard(keyboard::ENABLE)?;
        set_command_byte(controller.silent.with_keyboard())?;
        Ok(Self {
            line,
            taken,
            decoder: PS2Keyboard::new(
                ScancodeSet2::new(),
                Us104Key,
                HandleControl::MapLettersToUnicode,
            ),
            controller,
        })
    }

    /// The line of the keyboard.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Number of bytes that the handler has received: one per interrupt.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.taken.count.load(Ordering::Acquire)
    }

    /// Number of interrupts without a byte.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn empty(&self) -> u64 {
        self.taken.empty.load(Ordering::Acquire)
    }

    /// Number of bytes dropped because the queue was full.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.taken.bytes.overflowed() as u64
    }

    /// Reads a byte in place of the handler, if there is one: for a machine whose interrupts do not
    /// arrive.
    ///
    /// Context: thread.
    pub fn poll(&self) {
        // Interrupts are disabled so that no handler on this CPU runs between the two reads. No
        // handler runs on another CPU, because interrupts do not arrive.
        without_interrupts(|| self.taken.take());
    }

    /// The next unread byte.
    ///
    /// Context: any but NMI.
    pub fn next_byte(&mut self) -> Option<u8> {
        let (byte, _) = self.taken.bytes.pop()?;
        Some(byte as u8)
    }

    /// The next typed character, on a US keyboard. Other keys and invalid codes are skipped.
    ///
    /// Context: any but NMI.
    pub fn next_character(&mut self) -> Option<char> {
        while let Some(byte) = self.next_byte() {
            let event = self.decoder.add_byte(byte).ok().flatten();
            let key = event.and_then(|event| self.decoder.process_keyevent(event));
            if let Some(DecodedKey::Unicode(character)) = key {
                return Some(character);
            }
        }
        None
    }

    /// Requests one byte from the keyboard, [`ECHO`](Self::ECHO), which arrives like any other.
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Wrong`], if the controller does not accept the command.
    pub fn echo(&mut self) -> Result<(), DeviceError> {
        write(DATA, keyboard::ECHO)
    }
}

impl fmt::Debug for Keyboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyboard")
            .field("line", &self.line)
            .field("taken", &self.taken)
            .field("controller", &self.controller)
            .finish_non_exhaustive()
    }
}

impl Taken {
    /// Reads the byte of this interrupt. Each byte has its own interrupt: reading one deasserts the
    /// controller's line, and the next byte asserts it again.
    fn take(&self) -> Claim {
        let status = status();
        if !status.has_output() {
            self.empty.fetch_add(1, Ordering::Release);
            return Claim::NotMine;
        }
        let byte = take_byte();
        if !status.is_from_mouse() {
            // The queue counts the overflow.
            let _ = self.bytes.push(byte.into(), 0);
            self.count.fetch_add(1, Ordering::Release);
        }
        Claim::Mine
    }
}
