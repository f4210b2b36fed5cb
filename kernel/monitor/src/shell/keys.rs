//! The keyboard, if there is one, as a second input of the prompt. The input is echoed on COM1.

use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;
use tocsin_logic::vector::PriorityClass;

use tocsin::cpu;
use tocsin::devices::DeviceError;
use tocsin::devices::keyboard::Keyboard;

/// The keyboard. Only the monitor's thread takes the lock, no handler does.
static KEYBOARD: Mutex<Option<Keyboard>> = Mutex::new(None);

/// Whether the keyboard's interrupts arrive; if not, it is polled.
static ARRIVES: AtomicBool = AtomicBool::new(true);

/// Claims the keyboard and handles its interrupts on this CPU, if they arrive. A machine without a
/// keyboard is not an error.
pub(super) fn start(class: PriorityClass, arrives: bool) {
    ARRIVES.store(arrives, Ordering::Relaxed);
    match Keyboard::start(class, cpu::current().id()) {
        Ok(keyboard) => *KEYBOARD.lock() = Some(keyboard),
        Err(DeviceError::Absent(..)) => {}
        Err(error) => log::info!("{error}; the prompt is on COM1 only"),
    }
}

/// Returns the next byte of input, as a terminal would send it.
pub(super) fn read_byte() -> Option<u8> {
    let mut keyboard = KEYBOARD.lock();
    let keyboard = keyboard.as_mut()?;
    if !ARRIVES.load(Ordering::Relaxed) {
        keyboard.poll();
    }
    loop {
        match keyboard.next_character()? {
            '\n' => return Some(b'\r'),
            character if character.is_ascii() => return Some(character as u8),
            _ => {}
        }
    }
}

/// Calls `act` while the keyboard is unclaimed, and then claims it again if it was claimed before.
pub(crate) fn without<T>(act: impl FnOnce() -> T) -> T {
    let taken = KEYBOARD.lock().take();
    let class = taken
        .as_ref()
        .map(|keyboard| keyboard.line().describe().class);
    drop(taken);
    let done = act();
    if let Some(class) = class {
        start(class, ARRIVES.load(Ordering::Relaxed));
    }
    done
}
