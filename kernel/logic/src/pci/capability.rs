//! The capability list (PCI, 6.7): each capability points to the next, and the last has the pointer
//! 0.

use core::fmt;
use core::iter::FusedIterator;

/// The lowest valid offset of a capability: after the header.
const LOWEST: u8 = 0x40;

/// The ID of an MSI capability.
pub const MSI: u8 = 0x05;
/// The ID of a vendor-specific capability.
pub const VENDOR: u8 = 0x09;
/// The ID of a PCI Express capability.
pub const PCI_EXPRESS: u8 = 0x10;
/// The ID of an MSI-X capability.
pub const MSI_X: u8 = 0x11;

/// One of a function's capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capability {
    /// The capability ID (codes, chapter 2).
    pub id: u8,
    /// The offset: a multiple of 4, 0x40 to 0xfc.
    pub offset: u8,
}

impl Capability {
    /// A human-readable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.id {
            0x01 => "power management",
            0x02 | 0x0e => "AGP",
            0x03 => "vital product data",
            0x04 => "slot identification",
            MSI => "MSI",
            0x06 => "CompactPCI hot swap",
            0x07 => "PCI-X",
            0x08 => "HyperTransport",
            VENDOR => "vendor-specific",
            0x0a => "debug port",
            0x0b => "CompactPCI resources",
            0x0c => "hot-plug",
            0x0d => "bridge subsystem",
            0x0f => "secure device",
            PCI_EXPRESS => "PCI Express",
            MSI_X => "MSI-X",
            0x12 => "SATA",
            0x13 => "advanced features",
            0x14 => "enhanced allocation",
            0x15 => "flattening portal bridge",
            _ => "unknown",
        }
    }
}

/// The reason why a capability, or the rest of the list, cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapabilityError {
    /// A pointer leads into the header, to this offset.
    Pointer(u8),
    /// A pointer leads back to this offset.
    Loop(u16),
    /// A pointer of the extended capability list leads to this offset, outside its range.
    ExtendedPointer(u16),
    /// The capability at this offset reads as all ones: the function no longer responds.
    Gone(u16),
    /// The capability extends beyond the end of configuration space.
    Truncated {
        /// The capability.
        capability: Capability,
        /// Its size in bytes.
        size: u8,
    },
    /// MSI: the field for the number of messages has this reserved value, 6 or 7.
    Messages(u8),
    /// MSI-X: the table or the pending bits are in this base address register, but there are only
    /// six, 0 to 5.
    Register(u8),
}

impl fmt::Display for CapabilityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pointer(offset) => {
                write!(
                    f,
                    "the list of capabilities leads into the header, to {offset:#04x}"
                )
            }
            Self::Loop(offset) => {
                write!(f, "the list of capabilities comes back to {offset:#04x}")
            }
            Self::ExtendedPointer(offset) => write!(
                f,
                "the list of extended capabilities leads to {offset:#05x}, outside of 0x100 to 0xffc"
            ),
            Self::Gone(offset) => {
                write!(
                    f,
                    "the capability at {offset:#04x} reads as all ones (the function has been removed)"
                )
            }
            Self::Truncated { capability, size } => write!(
                f,
                "the {} capability at {:#04x} needs {size} bytes and does not have them",
                capability.name(),
                capability.offset
            ),
            Self::Messages(field) => {
                write!(f, "MSI: the number of messages is reserved ({field})")
            }
            Self::Register(index) => {
                write!(
                    f,
                    "MSI-X: there is no base address register {index}, only 0 to 5"
                )
            }
        }
    }
}

impl core::error::Error for CapabilityError {}

/// Walks the list that begins at `first`, which is [`Header::capabilities`](super::Header). `read`
/// returns the 32-bit register at an offset.
///
/// The two low bits of every pointer are reserved and are masked off, as the specification requires
/// (PCI, 6.7). The walk visits no offset twice, so it ends after at most 48 capabilities; an error
/// is its last item.
pub const fn capabilities<R: FnMut(u16) -> u32>(first: u8, read: R) -> Capabilities<R> {
    Capabilities {
        read,
        next: first & !3,
        seen: 0,
    }
}

/// The iterator of [`capabilities`].
#[derive(Clone, Debug)]
pub struct Capabilities<R> {
    read: R,
    /// 0 at the end.
    next: u8,
    /// One bit for each offset that has been visited.
    seen: u64,
}

impl<R: FnMut(u16) -> u32> Capabilities<R> {
    fn visit(&mut self, offset: u8) -> Result<Capability, CapabilityError> {
        if offset < LOWEST {
            return Err(CapabilityError::Pointer(offset));
        }
        let bit = 1 << (offset / 4);
        if self.seen & bit != 0 {
            return Err(CapabilityError::Loop(offset.into()));
        }
        self.seen |= bit;
        let register = (self.read)(offset.into());
        if register == u32::MAX {
            return Err(CapabilityError::Gone(offset.into()));
        }
        let [id, next, _, _] = register.to_le_bytes();
        self.next = next & !3;
        Ok(Capability { id, offset })
    }
}

impl<R: FnMut(u16) -> u32> Iterator for Capabilities<R> {
    type Item = Result<Capability, CapabilityError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = core::mem::take(&mut self.next);
        (offset != 0).then(|| self.visit(offset))
    }
}

impl<R: FnMut(u16) -> u32> FusedIterator for Capabilities<R> {}
