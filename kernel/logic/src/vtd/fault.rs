//! Fault records, and the reasons of faults (7.1 to 7.3, 11.4.14).

use super::{PAGE, SourceId};
use core::fmt;

/// The offset of the word of a record that holds F, in bytes.
pub const HIGH: u64 = 8;

/// The size of a record in bytes.
pub const SIZE: u64 = 16;

/// F, bit 127: the record is in use. Cleared by writing 1.
pub const IN_USE: u64 = 1 << 63;

/// The access of a blocked request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// A write.
    Write,
    /// A page request, which asks the OS for a page.
    PageRequest,
    /// A read.
    Read,
    /// A read to execute.
    Execute,
    /// A read and write in one request.
    Atomic,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Write => "write",
            Self::PageRequest => "page request",
            Self::Read => "read",
            Self::Execute => "execute",
            Self::Atomic => "atomic access",
        })
    }
}

/// What was blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocked {
    /// A DMA request.
    Dma {
        /// The kind of access.
        access: Access,
        /// The device address, rounded down to a page.
        address: u64,
        /// The process address space ID of the request, if it has one.
        pasid: Option<u32>,
        /// Whether the request was made with privilege.
        privileged: bool,
    },
    /// An interrupt message.
    Interrupt {
        /// The index of the entry to which the message referred; `None` for a message in
        /// compatibility format.
        index: Option<u16>,
    },
}

/// A fault record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The sender.
    pub source: SourceId,
    /// What was blocked.
    pub blocked: Blocked,
    /// The reason.
    pub reason: Reason,
}

impl Record {
    /// Reads a record; `None` if it is not in use.
    #[must_use]
    pub const fn decode([low, high]: [u64; 2]) -> Option<Self> {
        if high & IN_USE == 0 {
            return None;
        }
        let reason = Reason((high >> 32) as u8);
        let blocked = if reason.is_interrupt() {
            let index = match reason {
                Reason::COMPATIBILITY_FORMAT => None,
                _ => Some((low >> 48) as u16),
            };
            Blocked::Interrupt { index }
        } else {
            Blocked::Dma {
                access: access(high),
                address: low & !(PAGE - 1),
                pasid: if high >> 31 & 1 != 0 {
                    Some((high >> 40) as u32 & 0xf_ffff)
                } else {
                    None
                },
                privileged: high >> 29 & 1 != 0,
            }
        };
        Some(Self {
            source: SourceId(high as u16),
            blocked,
            reason,
        })
    }
}

/// The access of a request, from T1 (bit 126), T2 (bit 92) and EXE (bit 94).
const fn access(high: u64) -> Access {
    match (high >> 62 & 1, high >> 28 & 1, high >> 30 & 1) {
        (0, 0, _) => Access::Write,
        (0, _, _) => Access::PageRequest,
        (_, 0, 0) => Access::Read,
        (_, 0, _) => Access::Execute,
        _ => Access::Atomic,
    }
}

/// The reason of a fault (7.1.3, and 7.2.3 for interrupts).
///
/// `Display`: `0x05, no write permission`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reason(pub u8);

impl Reason {
    /// A compatibility-format interrupt was blocked.
    pub const COMPATIBILITY_FORMAT: Self = Self(0x25);

    /// Whether the fault is one of interrupt remapping.
    #[must_use]
    pub const fn is_interrupt(self) -> bool {
        matches!(self.0, 0x20..=0x2f)
    }

    /// Describes the reason; `None` for codes that the specification does not define.
    #[must_use]
    pub const fn describe(self) -> Option<&'static str> {
        Some(match self.0 {
            0x01 => "the root entry is not present",
            0x02 => "the context entry is not present",
            0x03 => "the context entry is invalid",
            0x04 => "the address has too many bits",
            0x05 => "no write permission",
            0x06 => "no read permission",
            0x07 => "a page-table entry cannot be read",
            0x08 => "the root table cannot be read",
            0x09 => "the context table cannot be read",
            0x0a => "a reserved bit of the root entry is set",
            0x0b => "a reserved bit of the context entry is set",
            0x0c => "a reserved bit of a page-table entry is set",
            0x0d => "the context entry blocks translation requests",
            0x0e => "the address is one of interrupt messages",
            0x20 => "a reserved bit of the interrupt message is set",
            0x21 => "the index exceeds the interrupt-remapping table",
            0x22 => "the interrupt entry is not present",
            0x23 => "the interrupt-remapping table cannot be read",
            0x24 => "a reserved bit of the interrupt entry is set",
            0x25 => "compatibility-format interrupts are blocked",
            0x26 => "the interrupt entry is for another source",
            0x27 => "the posted-interrupt descriptor cannot be accessed",
            0x28 => "a reserved bit of the posted-interrupt descriptor is set",
            0x30 => "the root-table address is invalid",
            0x31 => "the translation table mode is for requests without PASID",
            0x32 => "the translation table mode has no page groups",
            0x38 => "the scalable-mode root entry cannot be read",
            0x39 => "the scalable-mode root entry is not present",
            0x3a => "a reserved bit of the scalable-mode root entry is set",
            0x40 => "the scalable-mode context entry cannot be read",
            0x41 => "the scalable-mode context entry is not present",
            0x42 => "a reserved bit of the scalable-mode context entry is set",
            0x43 => "the scalable-mode context entry is invalid",
            0x44 => "the context entry has no device-TLB enabled",
            0x45 => "the context entry has no PASIDs enabled",
            0x46 => "the PASID exceeds that of the context entry",
            0x47 => "the context entry has no page requests enabled",
            0x48 => "the PASID of requests without PASID is invalid",
            0x50 => "the PASID directory entry cannot be read",
            0x51 => "the PASID directory entry is not present",
            0x52 => "a reserved bit of the PASID directory entry is set",
            0x58 => "the PASID table entry cannot be read",
            0x59 => "the PASID table entry is not present",
            0x5a => "a reserved bit of the PASID table entry is set",
            0x5b => "the PASID table entry is invalid",
            0x5c => "the PASID table entry has no execute requests enabled",
            0x5d => "the PASID table entry has no supervisor requests enabled",
            0x70 => "a first-stage entry cannot be read",
            0x71 => "a first-stage entry is not present",
            0x72 => "a reserved bit of a first-stage entry is set",
            0x73 => "the top-level first-stage entry cannot be read",
            0x74 => "the address of a first-stage entry has too many bits",
            0x75 => "no permission to read the top-level first-stage table",
            0x76 => "no permission to read a first-stage table",
            0x77 => "no permission to write a first-stage table",
            0x78 => "a second-stage entry cannot be read",
            0x79 => "no permission in a second-stage entry",
            0x7a => "a reserved bit of a second-stage entry is set",
            0x7b => "the second-stage table pointer is invalid",
            0x7c => "a second-stage entry needs an accessed or dirty bit without snooping",
            0x80 => "the address is not canonical",
            0x81 => "a user request to a supervisor page",
            0x82 => "no permission to execute",
            0x83 => "the address exceeds that of the hardware",
            0x84 => "the address of a second-stage entry has too many bits",
            0x85 => "no permission to write",
            0x86 => "no permission to read",
            0x87 => "the address is one of interrupt messages, in scalable mode",
            0x90 => "a first-stage entry needs an accessed or dirty bit without snooping",
            _ => return None,
        })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.describe().unwrap_or("unknown");
        write!(f, "{:#04x}, {text}", self.0)
    }
}
