//! Errors of device drivers.

use alloc::string::String;
use core::fmt;

use crate::line::LineError;
use crate::memory::MemoryError;

/// The reason why a driver cannot operate its device. Each variant contains the device's name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// The machine lacks the device; contains the evidence.
    Absent(&'static str, &'static str),
    /// Another driver has claimed the device.
    Claimed(&'static str),
    /// No line can be created for its interrupt.
    Line(&'static str, LineError),
    /// Its registers or buffers cannot be mapped or allocated.
    Memory(&'static str, MemoryError),
    /// The device does not support the operation; contains the complete sentence.
    Cannot(&'static str, String),
    /// The device violates its specification; contains the observation.
    Wrong(&'static str, String),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(name, why) => write!(f, "{name}: this machine has none ({why})"),
            Self::Claimed(name) => write!(f, "{name}: claimed by another driver"),
            Self::Line(name, error) => write!(f, "{name}: {error}"),
            Self::Memory(name, error) => write!(f, "{name}: {error}"),
            Self::Cannot(name, what) | Self::Wrong(name, what) => write!(f, "{name}: {what}"),
        }
    }
}

impl core::error::Error for DeviceError {}
