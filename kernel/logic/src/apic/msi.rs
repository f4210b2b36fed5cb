//! Message-signalled interrupts: the address and data that a device writes.
//!
//! A message in compatible format addresses a CPU (SDM vol. 3A, 12.11.1 and 12.11.2), one in
//! remappable format an entry of the interrupt-remapping table (VT-d specification, 5.1.5.2).

use super::{ApicId, Delivery, EncodingError, Trigger};

/// The values for the address and data registers of a device. The upper 32 bits of the address are
/// 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// The value of the address register.
    pub address: u32,
    /// The value of the data register.
    pub data: u32,
}

/// Bits 31:20 of the address of every message.
const BASE: u32 = 0xfee0_0000;
/// RH; SHV in the remappable format.
const REDIRECTION: u32 = 1 << 3;
/// DM, the destination mode.
const LOGICAL: u32 = 1 << 2;
/// Interrupt format: 1 is remappable.
const FORMAT: u32 = 1 << 4;
/// Bit 14 of the data: level, assert.
const ASSERT: u32 = 1 << 14;

/// A message in compatible format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Msi {
    /// Data bits 7:0.
    pub vector: u8,
    /// Data bits 10:8; all modes except start-up.
    pub delivery: Delivery,
    /// Data bit 15. Devices use edge; level is for bridges that forward pins.
    pub trigger: Trigger,
    /// The destination: bits 7:0 in address bits 19:12, bits 14:8 in address bits 11:5. Only
    /// hypervisors that advertise the extended destination evaluate the latter.
    pub destination: u16,
    /// Address bit 2, DM: whether the destination is logical.
    pub logical: bool,
    /// Address bit 3, RH: deliver only to the CPU with the lowest priority.
    pub redirection_hint: bool,
}

impl Msi {
    /// An edge-triggered message with fixed, physical delivery to one CPU.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Destination`] if the ID is above 254, or, with `extended`, above 32767.
    /// [`EncodingError::Vector`] below 16.
    pub const fn fixed(vector: u8, cpu: ApicId, extended: bool) -> Result<Self, EncodingError> {
        let max = if extended { 0x7fff } else { 254 };
        if cpu.0 > max {
            return Err(EncodingError::Destination { id: cpu.0, max });
        }
        if vector < 16 {
            return Err(EncodingError::Vector(vector));
        }
        Ok(Self {
            vector,
            delivery: Delivery::Fixed,
            trigger: Trigger::Edge,
            destination: cpu.0 as u16,
            logical: false,
            redirection_hint: false,
        })
    }

    /// Encodes address and data.
    ///
    /// # Errors
    ///
    /// [`EncodingError::Delivery`] for a start-up IPI, [`EncodingError::Destination`] above 32767.
    pub const fn encode(self) -> Result<Message, EncodingError> {
        if matches!(self.delivery, Delivery::StartUp) {
            return Err(EncodingError::Delivery(self.delivery as u8));
        }
        let id = self.destination as u32;
        if id > 0x7fff {
            return Err(EncodingError::Destination { id, max: 0x7fff });
        }
        let hint = if self.redirection_hint {
            REDIRECTION
        } else {
            0
        };
        let logical = if self.logical { LOGICAL } else { 0 };
        // The level bit applies only to level-triggered messages, which always assert.
        let level = match self.trigger {
            Trigger::Edge => 0,
            Trigger::Level => ASSERT,
        };
        Ok(Message {
            address: BASE | (id & 0xff) << 12 | (id >> 8) << 5 | hint | logical,
            data: self.vector as u32
                | self.delivery.field() as u32
                | level
                | (self.trigger.bit() as u32) << 15,
        })
    }

    /// Decodes address and data.
    ///
    /// # Errors
    ///
    /// [`EncodingError::MessageAddress`], [`EncodingError::Format`] for a remappable message,
    /// [`EncodingError::Delivery`] for mode 3 and start-up.
    pub const fn decode(message: Message) -> Result<Self, EncodingError> {
        let Message { address, data } = message;
        if address >> 20 != BASE >> 20 {
            return Err(EncodingError::MessageAddress(address as u64));
        }
        if address & FORMAT != 0 {
            return Err(EncodingError::Format);
        }
        let delivery = match Delivery::from_field(data as u64) {
            Some(Delivery::StartUp) | None => {
                return Err(EncodingError::Delivery((data >> 8) as u8 & 7));
            }
            Some(mode) => mode,
        };
        Ok(Self {
            vector: data as u8,
            delivery,
            trigger: Trigger::from_bit(data & 1 << 15 != 0),
            destination: (address >> 12) as u16 & 0xff | ((address >> 5) as u16 & 0x7f) << 8,
            logical: address & LOGICAL != 0,
            redirection_hint: address & REDIRECTION != 0,
        })
    }
}

/// A message in remappable format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemappableMsi {
    /// The index of the entry in the remapping table: bits 14:0 in address bits 19:5, bit 15 in
    /// address bit 2.
    pub handle: u16,
    /// Address bit 3, SHV: the CPU adds data bits 15:0 to the handle, so that the messages of one
    /// device have consecutive entries in the table.
    pub subhandle: Option<u16>,
}

impl RemappableMsi {
    /// Encodes address and data.
    #[must_use]
    pub const fn encode(self) -> Message {
        let handle = self.handle as u32;
        let (valid, data) = match self.subhandle {
            Some(subhandle) => (REDIRECTION, subhandle as u32),
            None => (0, 0),
        };
        Message {
            address: BASE | (handle & 0x7fff) << 5 | FORMAT | valid | (handle >> 15) << 2,
            data,
        }
    }

    /// Decodes address and data. Without SHV the data is ignored.
    ///
    /// # Errors
    ///
    /// [`EncodingError::MessageAddress`], [`EncodingError::Format`] for a compatible message,
    /// [`EncodingError::Reserved`] for data bits 31:16 with SHV.
    pub const fn decode(message: Message) -> Result<Self, EncodingError> {
        let Message { address, data } = message;
        if address >> 20 != BASE >> 20 {
            return Err(EncodingError::MessageAddress(address as u64));
        }
        if address & FORMAT == 0 {
            return Err(EncodingError::Format);
        }
        let subhandle = if address & REDIRECTION == 0 {
            None
        } else if data >> 16 == 0 {
            Some(data as u16)
        } else {
            return Err(EncodingError::Reserved((data & 0xffff_0000) as u64));
        };
        Ok(Self {
            handle: (address >> 5) as u16 & 0x7fff | ((address >> 2) as u16 & 1) << 15,
            subhandle,
        })
    }
}
