//! The devices that a PC has always had, and those that the command line names: a small driver each,
//! for its interrupt.
//!
//! A driver claims its device, and has its interrupt answered by a line, with polarity and trigger
//! as the MADT has them:
//!
//! ```ignore
//! let mut timer = Pit::claim()?.answer(class, 0, || COUNTER.count_up())?;
//! timer.every(1193); // Ticks: 1 kHz.
//! ```
//!
//! What a device needs for its next interrupt (a status bit cleared, a byte taken) is done before
//! the handler is called. A device is silent when its driver is dropped.
//!
//! A device that is not there is an error that says what told so.

mod error;
pub mod hpet;
pub mod keyboard;
pub mod pit;
pub mod rtc;
pub mod serial;

use core::sync::atomic::{AtomicBool, Ordering};

pub use error::DeviceError;

/// How long a device may take for what it does at once, in nanoseconds. Long, because an emulated one
/// may have to wait for its host.
const PATIENCE: u64 = 2_000_000_000;

/// Somebody drives a device; nobody when this is dropped.
#[derive(Debug)]
struct Ownership(&'static AtomicBool);

impl Ownership {
    /// Takes the device called `name`, unless somebody has it.
    fn take(flag: &'static AtomicBool, name: &'static str) -> Result<Self, DeviceError> {
        if flag.swap(true, Ordering::Acquire) {
            return Err(DeviceError::Taken(name));
        }
        Ok(Self(flag))
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
