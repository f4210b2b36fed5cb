//! The keyboard behind the i8042: an interrupt for each byte that it sends (ISA interrupt 1).
//!
//! What the bytes mean is the `pc-keyboard` crate's to say. The controller's translation to the scan
//! codes of the first PC is off.

use alloc::format;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use pc_keyboard::layouts::Us104Key;
use pc_keyboard::{DecodedKey, HandleControl, PS2Keyboard, ScancodeSet2};
use tocsin_logic::devices::i8042::{CommandByte, Status, TEST_PASSED, command, keyboard};
use tocsin_logic::irq::queue::Queue;
use tocsin_logic::vector::PriorityClass;

use super::{DeviceError, Ownership, PATIENCE};
use crate::hw::port;
use crate::line::{Claim, Line, Request, Source};
use crate::sync::without_interrupts;
use crate::time;

const NAME: &str = "keyboard";
const DATA: u16 = 0x60;
const STATUS_AND_COMMAND: u16 = 0x64;

/// How long the keyboard may take for the test that its reset begins, in nanoseconds: 0.75 s, and a
/// little.
const TEST_PATIENCE: u64 = 2_000_000_000;

/// How long a silence shows that nothing more was on its way when the devices were disabled, in
/// nanoseconds: a byte takes less than 1.5 ms on the wire.
const LAST_BYTE: u64 = 2_000_000;

/// How often a command is sent again when the keyboard asks for it.
const TRIES: u32 = 3;

/// Bytes that wait for somebody to read them; a power of two.
const WAITING: usize = 256;

static TAKEN: AtomicBool = AtomicBool::new(false);

fn status() -> Status {
    // SAFETY: 1. Reading the status has no side effect.
    Status(unsafe { port::read(STATUS_AND_COMMAND) })
}

fn take_byte() -> u8 {
    // SAFETY: 1. Reading takes the byte that waits, which is this driver's.
    unsafe { port::read(DATA) }
}

/// Writes to a port of the controller when it is ready for it.
fn write(port: u16, value: u8) -> Result<(), DeviceError> {
    if !time::wait_until(PATIENCE, || !status().is_busy()) {
        return wrong("the controller does not take what it is sent");
    }
    // SAFETY: 1. The controller is this driver's. 2. None of the commands of this driver reaches beyond
    // controller and keyboard.
    unsafe { port::write(port, value) };
    Ok(())
}

fn wrong<T>(what: &str) -> Result<T, DeviceError> {
    Err(DeviceError::Wrong(NAME, what.into()))
}

/// The next byte that comes, polled for.
fn next_byte(limit: u64) -> Option<u8> {
    time::wait_until(limit, || status().has_output()).then(take_byte)
}

/// Sends a command to the controller and takes its answer.
fn ask(command: u8) -> Result<u8, DeviceError> {
    write(STATUS_AND_COMMAND, command)?;
    let answer = next_byte(PATIENCE);
    answer.ok_or_else(|| {
        let what = format!("the controller does not answer command {command:#04x}");
        DeviceError::Wrong(NAME, what)
    })
}

/// Whether there is a controller, which accepts a command and replies to it.
fn answers() -> bool {
    !status().is_nothing() && ask(command::READ_COMMAND_BYTE).is_ok()
}

fn set_command_byte(byte: CommandByte) -> Result<(), DeviceError> {
    write(STATUS_AND_COMMAND, command::WRITE_COMMAND_BYTE)?;
    write(DATA, byte.0)
}

/// Sends a byte to the keyboard, again if it asks for that, until it acknowledges.
fn tell_keyboard(byte: u8) -> Result<(), DeviceError> {
    for _ in 0..TRIES {
        write(DATA, byte)?;
        match next_byte(PATIENCE) {
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

/// What the handler has taken.
#[derive(Debug)]
struct Taken {
    bytes: Queue<WAITING>,
    count: AtomicU64,
    empty: AtomicU64,
}

/// A keyboard at work.
pub struct Keyboard {
    // First, so that silencing the controller needs nobody to answer.
    line: Line,
    taken: Arc<Taken>,
    decoder: PS2Keyboard<Us104Key, ScancodeSet2>,
    controller: Controller,
}

/// The controller. It is silenced when this is dropped.
#[derive(Debug)]
struct Controller {
    /// How it works while it is silent.
    silent: CommandByte,
    _ownership: Ownership,
}

impl Controller {
    /// Takes the controller and tests it, and brings the keyboard to send scan codes of set 2; all
    /// without interrupts.
    fn start() -> Result<Self, DeviceError> {
        let ownership = Ownership::take(&TAKEN, NAME)?;
        if !answers() {
            // Half of the FADTs in the field deny a controller that exists, so the flag is ignored.
            return Err(DeviceError::Absent(
                NAME,
                "no 8042 controller answers at port 0x64",
            ));
        }
        write(STATUS_AND_COMMAND, command::DISABLE_KEYBOARD)?;
        write(STATUS_AND_COMMAND, command::DISABLE_MOUSE)?;
        // What has been typed so far is nobody's.
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
        // As much of it as the controller still takes.
        let _ = write(STATUS_AND_COMMAND, command::DISABLE_KEYBOARD);
        let _ = set_command_byte(self.silent);
    }
}

impl Keyboard {
    /// Its interrupt.
    pub const SOURCE: Source = Source::Isa(1);

    /// The byte that it sends when it is asked for an [`echo`](Self::echo).
    pub const ECHO: u8 = keyboard::ECHO;

    /// Takes controller and keyboard, tests both, and has the keyboard's interrupts answered on CPU
    /// number `cpu`. In a thread; takes up to a second.
    ///
    /// Context: thread.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Absent`], [`DeviceError::Taken`], [`DeviceError::Line`]; [`DeviceError::Wrong`], if
    /// a test fails or an answer does not come.
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
        // Polled for the last time; from the next byte on the handler takes them.
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

    /// Its line.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// Bytes that the handler has taken: one an interrupt.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.taken.count.load(Ordering::Acquire)
    }

    /// Interrupts without a byte.
    ///
    /// Context: any but NMI.
    #[must_use]
    pub fn empty(&self) -> u64 {
        self.taken.empty.load(Ordering::Acquire)
    }

    /// Bytes that came when too many waited.
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

    /// The next byte that nobody has read.
    ///
    /// Context: any but NMI.
    pub fn next_byte(&mut self) -> Option<u8> {
        let (byte, _) = self.taken.bytes.pop()?;
        Some(byte as u8)
    }

    /// The next character that was typed, on a US keyboard. Other keys, and what makes no sense, are
    /// left out.
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

    /// Asks the keyboard for one byte, which comes as any other does: [`ECHO`](Self::ECHO).
    ///
    /// Context: any but NMI.
    ///
    /// # Errors
    ///
    /// [`DeviceError::Wrong`], if the controller does not take the command.
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
    /// Takes the byte that the interrupt is for. Each byte has its own: the controller's line falls when
    /// one is read, and rises with the next.
    fn take(&self) -> Claim {
        let status = status();
        if !status.has_output() {
            self.empty.fetch_add(1, Ordering::Release);
            return Claim::NotMine;
        }
        let byte = take_byte();
        if !status.is_from_mouse() {
            // One too many is counted by the queue.
            let _ = self.bytes.push(byte.into(), 0);
            self.count.fetch_add(1, Ordering::Release);
        }
        Claim::Mine
    }
}
