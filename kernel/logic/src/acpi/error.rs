//! Errors in ACPI tables.

use super::Signature;
use core::fmt;

/// An error in a table.
///
/// `Display`: `MADT: entry at offset 0x5c: type 0 needs 8 bytes, its length field says 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The table; [`Signature::RSDP`] for the root pointer.
    pub table: Signature,
    /// The offset of the error, in bytes from the start of the table.
    pub offset: usize,
    /// The kind of error.
    pub kind: ErrorKind,
}

/// The kinds of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The caller passed too few bytes for the header or the table.
    NotMapped {
        /// The number of bytes that are required.
        needed: usize,
        /// The number of bytes that the caller passed.
        available: usize,
    },
    /// The signature is wrong; the value is the signature that was found.
    Signature(Signature),
    /// The length field is out of range.
    Length {
        /// The value of the length field, in bytes.
        length: u32,
        /// The minimum length, in bytes.
        min: u32,
        /// The maximum length, in bytes.
        max: u32,
    },
    /// The sum of the bytes is not 0.
    Checksum {
        /// The sum, modulo 256.
        sum: u8,
        /// The number of bytes in the sum.
        length: usize,
    },
    /// A required address is 0.
    NoAddress,
    /// The specification does not define this revision.
    Revision(u8),
    /// An entry is shorter than its type requires. The walk skips it, or ends if the length field
    /// is below 2.
    EntryShort {
        /// The type of the entry.
        kind: u16,
        /// The number of bytes that the type requires.
        needed: u16,
        /// The value of the length field, in bytes.
        length: u16,
    },
    /// An entry extends beyond the end of the table. The walk ends.
    EntryOverrun {
        /// The type of the entry.
        kind: u16,
        /// The value of the length field, in bytes.
        length: u16,
        /// The number of bytes left in the table.
        left: usize,
    },
    /// The bytes after the last entry are too few for another entry.
    Trailing {
        /// The number of bytes.
        bytes: usize,
        /// The size of an entry, or the minimum size if entries differ in size.
        entry: usize,
    },
    /// A register is in an address space that is not supported for it.
    Space(u8),
    /// The address is out of range, or not aligned as required.
    Address(u64),
    /// The first bus of a range is greater than the last.
    BusRange {
        /// The first bus.
        first: u8,
        /// The last bus.
        last: u8,
    },
    /// The bus range overlaps that of an earlier entry.
    BusOverlap {
        /// The PCI segment group.
        segment: u16,
        /// The first bus of this entry.
        first: u8,
        /// The last bus of this entry.
        last: u8,
    },
    /// There are more entries than the walk can check for overlaps. The walk ends.
    TooMany {
        /// The maximum number of entries.
        max: usize,
    },
    /// The length of a device scope is not that of a path, or extends beyond its structure.
    ScopeLength {
        /// The type of the scope.
        kind: u8,
        /// The value of the length field, in bytes.
        length: u8,
        /// The minimum length, in bytes.
        min: usize,
        /// The number of bytes left in the structure.
        left: usize,
    },
    /// Reserved memory is not a range of pages.
    MemoryRange {
        /// Physical address of the first byte.
        base: u64,
        /// Physical address of the last byte.
        limit: u64,
    },
    /// The length field of the PM timer has an undefined value.
    TimerLength(u8),
}

/// The component that must be fixed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Firmware: the table itself is wrong.
    Firmware,
    /// The caller: it mapped too few bytes.
    Caller,
}

impl fmt::Display for Blame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Firmware => "firmware",
            Self::Caller => "the kernel's mapping",
        })
    }
}

impl Error {
    pub(super) const fn new(table: Signature, offset: usize, kind: ErrorKind) -> Self {
        Self {
            table,
            offset,
            kind,
        }
    }

    /// Returns the component that caused the error.
    #[must_use]
    pub const fn blame(&self) -> Blame {
        match self.kind {
            ErrorKind::NotMapped { .. } => Blame::Caller,
            _ => Blame::Firmware,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.short_name();
        match self.kind {
            // These errors concern the whole table.
            ErrorKind::NotMapped { .. } | ErrorKind::Checksum { .. } => write!(f, "{table}: ")?,
            ErrorKind::EntryShort { .. }
            | ErrorKind::EntryOverrun { .. }
            | ErrorKind::MemoryRange { .. }
            | ErrorKind::BusRange { .. }
            | ErrorKind::BusOverlap { .. } => {
                write!(f, "{table}: entry at offset {:#x}: ", self.offset)?;
            }
            _ => write!(f, "{table}: offset {:#x}: ", self.offset)?,
        }
        self.kind.fmt(f)
    }
}

impl core::error::Error for Error {}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotMapped { needed, available } => {
                write!(f, "{available} bytes are mapped, {needed} are needed")
            }
            Self::Signature(found) => write!(f, "the signature is \"{found}\""),
            Self::Length { length, min, max } => write!(
                f,
                "the length field says {length} bytes; at least {min} and at most {max} are possible"
            ),
            Self::Checksum { sum, length } => {
                write!(
                    f,
                    "bad checksum: its {length} bytes add up to {sum:#04x}, not 0"
                )
            }
            Self::NoAddress => f.write_str("the address is 0"),
            Self::Revision(revision) => write!(f, "revision {revision} does not exist"),
            Self::EntryShort {
                kind,
                needed,
                length,
            } => write!(
                f,
                "type {kind} needs {needed} bytes, its length field says {length}"
            ),
            Self::EntryOverrun { kind, length, left } => write!(
                f,
                "type {kind} of {length} bytes, but the table ends after {left}"
            ),
            Self::Trailing { bytes, entry } => {
                write!(f, "{bytes} bytes are left, an entry has {entry}")
            }
            Self::Space(space) => write!(f, "a register in address space {space} cannot be used"),
            Self::Address(address) => write!(f, "the address {address:#x} is not possible"),
            Self::BusRange { first, last } => {
                write!(f, "first bus {first} is above the last, {last}")
            }
            Self::BusOverlap {
                segment,
                first,
                last,
            } => write!(
                f,
                "segment {segment} buses {first} to {last}: an earlier entry has some of them"
            ),
            Self::TooMany { max } => write!(f, "more than {max} entries"),
            Self::ScopeLength {
                kind,
                length,
                min,
                left,
            } => write!(
                f,
                "the length field of a device scope of type {kind} says {length} bytes; even numbers of at \
                 least {min} and at most {left} are possible"
            ),
            Self::MemoryRange { base, limit } => {
                write!(f, "memory {base:#x} to {limit:#x} is no range of pages")
            }
            Self::TimerLength(length) => {
                write!(f, "the PM timer has {length} bytes; 4 or none are possible")
            }
        }
    }
}
