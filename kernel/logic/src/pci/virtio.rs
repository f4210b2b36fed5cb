//! The structures of a virtio device (Virtual I/O Device 1.2, 4.1.4): a vendor-specific capability
//! gives the location of each.
//!
//! ```text
//!        31       24 23       16 15  8 7   0
//!   +0   structure   length      next  id (9)
//!   +4   0                       id    BIR
//!   +8   offset
//!   +C   length of the structure
//!   +10  for notifications only: the multiplier
//! ```

/// The vendor ID of virtio devices.
pub const VENDOR: u16 = 0x1af4;
/// Device ID of a modern device of type 0; that of type n is larger by n.
pub const MODERN: u16 = 0x1040;

/// The structures that a driver needs, among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Structure {
    /// Features, status and queues.
    Common = 1,
    /// Queue notifications from the driver to the device.
    Notify = 2,
}

/// The location of a structure in the device's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructureLocation {
    /// The structure.
    pub structure: Structure,
    /// The base address register, 0 to 5.
    pub bar: u8,
    /// Offset in bytes from its address.
    pub offset: u32,
    /// Size in bytes.
    pub length: u32,
}

impl StructureLocation {
    /// Decodes a vendor-specific capability of a virtio device. `registers` are its first four.
    /// `None` for another structure, and for one in a base address register that does not exist; a
    /// driver must ignore both (4.1.4).
    #[must_use]
    pub const fn decode(registers: [u32; 4]) -> Option<Self> {
        let [head, location, offset, length] = registers;
        let structure = match head >> 24 {
            1 => Structure::Common,
            2 => Structure::Notify,
            _ => return None,
        };
        let bar = location as u8;
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
