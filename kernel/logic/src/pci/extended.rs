//! The extended capability list, in the part of configuration space that only PCI Express functions
//! have and that only memory-mapped access reaches (Express, 7.6).

use super::CapabilityError;
use core::iter::FusedIterator;

/// The offset at which the list begins.
pub const FIRST: u16 = 0x100;

/// One of a function's extended capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extended {
    /// The capability ID (codes, chapter 3).
    pub id: u16,
    /// The version of its layout.
    pub version: u8,
    /// The offset: a multiple of 4, 0x100 to 0xffc.
    pub offset: u16,
}

impl Extended {
    /// A human-readable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self.id {
            0x01 => "advanced error reporting",
            0x02 | 0x09 => "virtual channel",
            0x03 => "device serial number",
            0x04 => "power budgeting",
            0x0b => "vendor-specific",
            0x0d => "access control services",
            0x0e => "alternative routing ID",
            0x0f => "address translation services",
            0x10 => "single-root I/O virtualization",
            0x13 => "page request interface",
            0x15 => "resizable BAR",
            0x18 => "latency tolerance reporting",
            0x19 => "secondary PCI Express",
            0x1b => "process address space ID",
            0x1d => "downstream port containment",
            0x1e => "L1 PM substates",
            0x1f => "precision time measurement",
            0x23 => "designated vendor-specific",
            0x25 => "data link feature",
            0x26 => "physical layer 16 GT/s",
            0x27 => "lane margining",
            _ => "unknown",
        }
    }
}

/// Walks the list. `read` returns the 32-bit register at an offset.
///
/// A first register of 0 or of all ones means that the list is empty. The walk visits no offset
/// twice, so it ends after at most 960 capabilities; an error is its last item.
pub const fn extended<R: FnMut(u16) -> u32>(read: R) -> ExtendedCapabilities<R> {
    ExtendedCapabilities {
        read,
        next: FIRST,
        seen: [0; 16],
    }
}

/// The iterator of [`extended`].
#[derive(Clone, Debug)]
pub struct ExtendedCapabilities<R> {
    read: R,
    /// 0 at the end.
    next: u16,
    /// One bit for each offset that has been visited.
    seen: [u64; 16],
}

impl<R: FnMut(u16) -> u32> ExtendedCapabilities<R> {
    fn visit(&mut self, offset: u16) -> Option<Result<Extended, CapabilityError>> {
        if offset < FIRST {
            return Some(Err(CapabilityError::ExtendedPointer(offset)));
        }
        // The pointer has 12 bits, so this is below 1024.
        let index = usize::from(offset / 4);
        let bit = 1 << (index % 64);
        if self.seen[index / 64] & bit != 0 {
            return Some(Err(CapabilityError::Loop(offset)));
        }
        self.seen[index / 64] |= bit;
        let register = (self.read)(offset);
        if offset == FIRST && matches!(register, 0 | u32::MAX) {
            return None;
        }
        if register == u32::MAX {
            return Some(Err(CapabilityError::Gone(offset)));
        }
        // The two low bits of the pointer are reserved.
        self.next = (register >> 20) as u16 & !3;
        Some(Ok(Extended {
            id: register as u16,
            version: (register >> 16) as u8 & 0xf,
            offset,
        }))
    }
}

impl<R: FnMut(u16) -> u32> Iterator for ExtendedCapabilities<R> {
    type Item = Result<Extended, CapabilityError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = core::mem::take(&mut self.next);
        if offset == 0 {
            return None;
        }
        self.visit(offset)
    }
}

impl<R: FnMut(u16) -> u32> FusedIterator for ExtendedCapabilities<R> {}
