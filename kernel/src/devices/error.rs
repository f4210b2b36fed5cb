//! What can go wrong between a driver and its device.

use alloc::string::String;
use core::fmt;

use crate::line::LineError;
use crate::memory::MemoryError;

/// Why a device cannot be driven. All name it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceError {
    /// The machine does not have it; holds what tells so.
    Absent(&'static str, &'static str),
    /// Somebody else drives it.
    Taken(&'static str),
    /// There is no line to answer its interrupt.
    Line(&'static str, LineError),
    /// Its registers or buffers cannot be had.
    Memory(&'static str, MemoryError),
    /// It cannot do what was asked; holds the whole sentence.
    Cannot(&'static str, String),
    /// It does not behave as its specification says; holds what was seen.
    Wrong(&'static str, String),
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(name, why) => write!(f, "this machine has no {name}: {why}"),
            Self::Taken(name) => write!(f, "the {name} belongs to another driver"),
            Self::Line(name, error) => write!(f, "{name}: {error}"),
            Self::Memory(name, error) => write!(f, "{name}: {error}"),
            Self::Cannot(name, what) | Self::Wrong(name, what) => write!(f, "{name}: {what}"),
        }
    }
}

impl core::error::Error for DeviceError {}
