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
    /// The interrupt of this input was not ended within a second: its handler does not return.
    Unended(Gsi),
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
                "CPU {from} and CPU {to} have no {count} vectors of class {} free in common, \
                 without which a source that cannot be masked does not move",
                class.get()
            ),
            Self::Route(error) => error.fmt(f),
            Self::Input(error) => error.fmt(f),
            Self::Target(error) => error.fmt(f),
            Self::HasSource => f.write_str("the line has a source already"),
            Self::Messages(reason) => f.write_str(reason),
            Self::Moving => f.write_str("the line is being moved already"),
            Self::NotLevel => f.write_str(
                "the source is no level-triggered input; devices can share no other, because edges \
                 of two can be one",
            ),
            Self::Level => f.write_str(
                "the source is a level-triggered input, to which an IPI could do harm: the end of both \
                 might not reach the I/O APIC; have the device interrupt",
            ),
            Self::Unended(gsi) => write!(
                f,
                "the interrupt of GSI {gsi} was not ended within a second: its handler does not return"
            ),
        }
    }
}

impl core::error::Error for LineError {}
