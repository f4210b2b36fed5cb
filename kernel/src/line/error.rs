//! Errors of lines.

use alloc::string::String;
use core::fmt;

use tocsin_logic::acpi::Gsi;
use tocsin_logic::apic::EncodingError;
use tocsin_logic::irq::route::RouteError;
use tocsin_logic::irq::vectors::Exhausted;
use tocsin_logic::vector::PriorityClass;

use crate::apic::io::InputError;
use crate::ipi::Offline;

/// The reason why a line cannot be created, moved or changed. Nothing has changed in this case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// The CPU is not online.
    Offline(Offline),
    /// The CPU has too few free vectors of the class.
    Vectors {
        /// The CPU's number.
        cpu: u32,
        /// The requested and the available vectors.
        exhausted: Exhausted,
    },
    /// No vectors are free on both CPUs, which a move of this source needs.
    NoCommonVectors {
        /// The CPU that the line is on.
        from: u32,
        /// The target CPU of the move.
        to: u32,
        /// The line's class.
        class: PriorityClass,
        /// The number of consecutive vectors.
        count: u8,
    },
    /// The request contradicts the MADT, or names an input that the machine lacks.
    Route(RouteError),
    /// The input belongs to another line, or its I/O APIC does not respond.
    Input(InputError),
    /// The source cannot address the CPU.
    Target(EncodingError),
    /// The line has a source already.
    HasSource,
    /// The device rejects the messages, for the given reason.
    Messages(String),
    /// Another move of the line is in progress.
    Moving,
    /// Only a level-triggered input can be shared.
    NotLevel,
    /// A level-triggered input cannot be replaced by an IPI.
    Level,
    /// The interrupt of this input has received no EOI within a second: its handler does not
    /// return.
    EoiTimeout(Gsi),
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(offline) => offline.fmt(f),
            Self::Vectors { cpu, exhausted } => write!(f, "CPU {cpu}: {exhausted}"),
            Self::NoCommonVectors {
                from,
                to,
                class,
                count,
            } => write!(
                f,
                "CPU {from} and CPU {to}: no {count} vectors of class {} are free on both (a source \
                 that cannot be masked needs them to move)",
                class.get()
            ),
            Self::Route(error) => error.fmt(f),
            Self::Input(error) => error.fmt(f),
            Self::Target(error) => error.fmt(f),
            Self::HasSource => f.write_str("the line already has a source"),
            Self::Messages(reason) => f.write_str(reason),
            Self::Moving => f.write_str("the line is already being moved"),
            Self::NotLevel => f.write_str(
                "the source is not a level-triggered input (only those can be shared: edges of two \
                 devices may merge)",
            ),
            Self::Level => f.write_str(
                "the source is a level-triggered input (an IPI cannot replace its interrupt, because \
                 the EOI of both may not reach the I/O APIC; let the device interrupt)",
            ),
            Self::EoiTimeout(gsi) => write!(
                f,
                "GSI {gsi}: no EOI within a second (its handler does not return)"
            ),
        }
    }
}

impl core::error::Error for LineError {}
