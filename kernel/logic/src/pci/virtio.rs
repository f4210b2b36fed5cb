//! Where a virtio device keeps its structures (Virtual I/O Device 1.2, 4.1.4): each is named by a
//! vendor-specific capability.
//!
//! ```text
//!        31       24 23       16 15  8 7   0
//!   +0   structure   length      next  id (9)
//!   +4   0                       id    BIR
//!   +8   offset
//!   +C   length of the structure
//!   +10  for notifications only: the multiplier
//! ```

/// The vendor of virtio devices.
pub const VENDOR: u16 = 0x1af4;
/// Device ID of a modern device of type 0; type n is n above.
pub const MODERN: u16 = 0x1040;

/// The structures that a driver needs; there are others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Structure {
    /// Features, status and queues.
    Common = 1,
    /// Where the device is told that a queue has something for it.
    Notify = 2,
}

/// A place in the device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructurePlace {
    /// What is there.
    pub structure: Structure,
    /// The base address register, 0 to 5.
    pub bar: u8,
    /// Bytes from its address.
    pub offset: u32,
    /// Bytes.
    pub length: u32,
}

impl StructurePlace {
    /// Reads a vendor-specific capability of a virtio device. `registers` are its first four. `None`
    /// for another structure, and for one behind a register that there is not, both of which a
    /// driver must pass over (4.1.4).
    #[must_use]
    pub const fn decode(registers: [u32; 4]) -> Option<Self> {
        let [head, place, offset, length] = registers;
        let structure = match head >> 24 {
            1 => Structure::Common,
            2 => Structure::Notify,
            _ => return None,
        };
        let bar = place as u8;
        if bar > 5 {
            return None;
        }
        Some(Self {
            structure,
            bar,
            offset,
            length,
        })
    }
}
