//! What can be wrong with a table, as data.

use super::Signature;
use core::fmt;

/// Something wrong with a table.
///
/// `Display`: `MADT: entry at offset 0x5c: type 0 needs 8 bytes, its length field
/// says 0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// The table; [`Signature::RSDP`] for the root pointer.
    pub table: Signature,
    /// Where, in bytes from the start of the table.
    pub offset: usize,
    /// What.
    pub kind: ErrorKind,
}

/// The kinds of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Fewer bytes were handed over than the table has.
    NotMapped {
        /// The bytes that are needed.
        needed: usize,
        /// The bytes that there are.
        available: usize,
    },
    /// The signature is another one. The first bytes of what is there.
    Signature(Signature),
    /// The length field is out of bounds.
    Length {
        /// What it says, in bytes.
        length: u32,
        /// The least that it can be.
        min: u32,
        /// The most that it can be.
        max: u32,
    },
    /// The bytes do not add up to 0.
    Checksum {
        /// What they add up to.
        sum: u8,
        /// Over how many bytes.
        length: usize,
    },
    /// There is no address where the table must have one.
    NoAddress,
    /// The revision is one that the specification does not have.
    Revision(u8),
    /// An entry is shorter than its type needs. It is skipped, or ends the walk if
    /// its length field is below 2.
    EntryShort {
        /// Its type.
        kind: u8,
        /// The bytes that the type needs.
        needed: u8,
        /// The bytes that its length field says.
        length: u8,
    },
    /// An entry reaches beyond the table. It ends the walk.
    EntryOverrun {
        /// Its type.
        kind: u8,
        /// The bytes that its length field says.
        length: u8,
        /// The bytes that are left in the table.
        left: usize,
    },
    /// The bytes behind the last entry are too few for another one.
    Trailing {
        /// How many.
        bytes: usize,
        /// The size of an entry, or the least that one can have.
        entry: usize,
    },
    /// A register lies in an address space that it cannot be used in.
    Space(u8),
    /// The address wraps, or is not aligned as its use demands.
    Address(u64),
    /// The first bus of a range is above its last.
    BusRange {
        /// The first.
        first: u8,
        /// The last.
        last: u8,
    },
    /// An earlier entry has some of the same buses.
    BusOverlap {
        /// The segment group.
        segment: u16,
        /// The first bus of this entry.
        first: u8,
        /// Its last.
        last: u8,
    },
    /// More entries than can be kept apart. It ends the walk.
    TooMany {
        /// How many can be.
        max: usize,
    },
    /// The PM timer's length field has a value that does not exist.
    TimerLength(u8),
}

/// Who has to mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Firmware: the table itself is wrong.
    Firmware,
    /// The caller: it mapped too little.
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

    /// Whose fault it is.
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
            // These are about the whole table.
            ErrorKind::NotMapped { .. } | ErrorKind::Checksum { .. } => write!(f, "{table}: ")?,
            ErrorKind::EntryShort { .. }
            | ErrorKind::EntryOverrun { .. }
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
            Self::TimerLength(length) => {
                write!(f, "the PM timer has {length} bytes; 4 or none are possible")
            }
        }
    }
}
