//! Drivers for the interrupts of legacy PC devices and of devices that the command line names.
//!
//! A driver claims its device and handles its interrupt through a line, with polarity and trigger
//! mode from the MADT:
//!
//! ```no_run
//! # use core::sync::atomic::{AtomicU64, Ordering};
//! # use tocsin::devices::pit::Pit;
//! # use tocsin::prelude::PriorityClass;
//! # let class = PriorityClass::LOWEST_USABLE;
//! # static COUNTER: AtomicU64 = AtomicU64::new(0);
//! let mut timer = Pit::claim()?.with_handler(class, 0, || {
//!     COUNTER.fetch_add(1, Ordering::Relaxed);
//! })?;
//! timer.every(1193); // Ticks: 1 kHz.
//! ```
//!
//! Before the driver calls the handler, it prepares the device for its next interrupt (clears a
//! status bit, reads a byte). Dropping the driver disables the device's interrupts.
//!
//! If a device is absent, the error states how the driver detected this.

mod error;
pub mod hpet;
pub mod keyboard;
pub mod pit;
pub mod rtc;
pub mod serial;

use core::sync::atomic::{AtomicBool, Ordering};

pub use error::DeviceError;

/// Timeout for operations that a device completes immediately, in nanoseconds. It is long because
/// an emulated device may have to wait for its host.
const TIMEOUT: u64 = 2_000_000_000;

/// Exclusive ownership of a device; dropping it releases the device.
#[derive(Debug)]
struct Ownership(&'static AtomicBool);

impl Ownership {
    /// Claims the device called `name`, unless it is already claimed.
    fn claim(flag: &'static AtomicBool, name: &'static str) -> Result<Self, DeviceError> {
        if flag.swap(true, Ordering::Acquire) {
            return Err(DeviceError::Claimed(name));
        }
        Ok(Self(flag))
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
